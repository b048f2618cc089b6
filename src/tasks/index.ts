/** @file The table name → task. */
import { UserError } from '../errors.ts'
import { nearestName } from '../nearest-name.ts'
import { arithmetic } from './arithmetic.ts'
import { continuation } from './continuation.ts'
import { infilling } from './infilling.ts'
import { randomNumbers } from './random-numbers.ts'
import { subjectivity } from './subjectivity.ts'
import type { Task } from './task.ts'
import { isTaskFile, loadTaskFile } from './user-task.ts'

export const tasks: Readonly<Record<string, Task>> = {
  [infilling.name]: infilling,
  [continuation.name]: continuation,
  [subjectivity.name]: subjectivity,
  [arithmetic.name]: arithmetic,
  [randomNumbers.name]: randomNumbers,
}

/** One of our tasks, or that of a user's file. @throws UserError where there is none, or the file says none */
export const findTask = async (name: string): Promise<Task> => (isTaskFile(name) ? loadTaskFile(name) : taskNamed(name))

/** @throws UserError naming the nearest task that exists, or all of them */
export function taskNamed(name: string): Task {
  if (Object.hasOwn(tasks, name)) return tasks[name]
  const nearest = nearestName(name, Object.keys(tasks))
  throw new UserError({
    what: `there is no task "${name}"`,
    fix: nearest ? `did you mean "${nearest}"?` : `there is ${Object.keys(tasks).join(', ')}`,
  })
}

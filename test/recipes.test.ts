/** Every file of examples/ that exports a task is one that `flowtune train` takes, and begins with what one should see. */
import { readdirSync, readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { expect, test } from 'vitest'
import { outlineModel } from '../src/models/language-model.ts'
import { embeddedModel } from '../src/tasks/embedded.ts'
import { readExamples } from '../src/tasks/examples.ts'
import { loadTaskFile } from '../src/tasks/user-task.ts'
import { parseTrainingConfig } from '../src/trainers/config.ts'

const folder = fileURLToPath(new URL('../examples/', import.meta.url))
const files = readdirSync(folder)
  .filter((name) => name.endsWith('.ts'))
  .map((name) => ({ name, path: `${folder}${name}`, text: readFileSync(`${folder}${name}`, 'utf8') }))
const model = await outlineModel(embeddedModel)
const recipes = files.filter(({ text }) => /^export default /m.test(text))

test('there are some', () => {
  expect(recipes.map(({ name }) => name)).toContain('01-random-numbers.ts')
  expect(recipes.map(({ name }) => name)).toContain('own-reward.ts')
})

test.each(files)('$name begins with what one should see, and how to run it', ({ name, text }) => {
  const comment = text.slice(0, text.indexOf('*/'))
  expect(comment).toMatch(/^\/\*\*\n \* @file /)
  expect(comment).toContain('What you should see')
  expect(comment).toContain(`examples/${name}`)
})

test.each(recipes)(
  '$name is a task with training options, and examples of its own that become prompts',
  async ({ path }) => {
    const task = await loadTaskFile(path)
    parseTrainingConfig(task.defaults ?? {}, path)
    const { examples = [] } = task
    const rows = 'data' in examples ? await readExamples(examples.data, task) : examples
    expect(rows.length).toBeGreaterThan(0)
    for (const row of rows) expect(task.prompt(row, model).prompt.length).toBeGreaterThan(0)
  },
)

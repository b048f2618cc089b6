import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterAll, expect, test } from 'vitest'
import { UserError } from '../errors.ts'
import { embeddedModel } from './embedded.ts'
import type { PromptModel } from './task.ts'
import { startRun, train } from './task-run.ts'
import { isTaskFile, loadTaskFile } from './user-task.ts'

const folder = mkdtempSync(join(tmpdir(), 'task-'))
afterAll(() => rmSync(folder, { recursive: true }))

function file(name: string, text: string): string {
  writeFileSync(join(folder, name), text)
  return join(folder, name)
}

test('a name with the ending of a program is a file, others are tasks of ours', () => {
  expect(['a.ts', './b.mjs', 'c.cts', '/d/e.js'].every(isTaskFile)).toBe(true)
  expect(['infilling', 'ts', 'a.json', 'a.txt'].some(isTaskFile)).toBe(false)
})

test('a function with prompts is a task whose rows it sees', async () => {
  const task = await loadTaskFile(
    file(
      'dogs.ts',
      `enum Cost { Missing = 5 }
       export default (text: string, { logLikelihood, example }: { logLikelihood: number; example: { word: string } }) =>
         logLikelihood - (text.includes(example.word) ? 0 : Cost.Missing)
       export const prompts = [{ prompt: 'Tom sat.', word: 'dog', known: 'He saw a dog.' }]
       export const training = { steps: 7 }`,
    ),
  )
  expect(task).toMatchObject({ name: 'dogs', defaults: { steps: 7 }, columns: { prompt: expect.anything() } })
  expect(Object.keys(task.optionalColumns!).sort()).toEqual(['known', 'word'])
  const [row] = task.examples as { prompt: string; word: string }[]
  const { name, prompt, reward, known } = task.prompt(row, {} as PromptModel)
  expect({ name, prompt, reward: reward.name, known }).toEqual({
    name: 'Tom sat.',
    prompt: 'Tom sat.',
    reward: 'dogs',
    known: [' He saw a dog.'],
  })
})

test('a tool comes along with a function, or in a whole task', async () => {
  const tool = "export const tool = { name: 'adder', trigger: '=', respond: () => ' 9' }"
  const ofFunction = await loadTaskFile(file('adder.ts', `export default () => 0; ${tool}`))
  expect(await ofFunction.tool?.respond('2 + 7 =')).toBe(' 9')
  const whole =
    "import { calculator } from 'flowtune'; export default { columns: {}, prompt: () => 0, tool: calculator() }"
  expect(await (await loadTaskFile(file('calculator.ts', whole))).tool?.respond('2 + 7 =')).toBe(' 9')
})

test('texts alone are rows with a prompt; JavaScript does as well', async () => {
  const task = await loadTaskFile(file('plain.mjs', "export default () => 0; export const prompts = ['a', 'b']"))
  expect(task.examples).toEqual([{ prompt: 'a' }, { prompt: 'b' }])
})

test('a whole task uses the parts of this package, wherever its file is', async () => {
  const task = await loadTaskFile(
    file(
      'whole.ts',
      `import { posterior, UserError } from 'flowtune'
       export default {
         name: 'ignored', summary: 'x', columns: { text: 'y' }, defaults: { steps: 3 },
         prompt: ({ text }: { text: string }) => {
           if (text === '') throw new UserError({ what: 'empty' })
           return { name: text, prompt: text, reward: posterior({ ending: ' The end.' }) }
         },
       }`,
    ),
  )
  expect(task.name).toBe('whole')
  expect(task.prompt({ text: 'a' }, {} as PromptModel).reward.name).toBe('posterior')
  expect(() => task.prompt({ text: '' }, {} as PromptModel)).toThrow(UserError)
})

test.each([
  ['export default (text: string => 3', /ParseError: .*\(bad\.ts, line 1\); mend the file$/],
  ['\nthrow new TypeError("no")', /bad\.ts: TypeError: no \(bad\.ts, line 2\); mend the file$/],
  ['import x from "nowhere"; export default x', /Cannot find module 'nowhere'/],
  ['export const x = 3', /it has no default export; export default \(text, /],
  ['export default 3', /its default export is no task: .*expected object/],
  ['export default { columns: {} }', /its default export is no task: prompt: it must be a function/],
  ['export default { columns: {}, prompt: () => 0, measures: ["speed"] }', /no task: measures\.0: /],
  [
    "export default () => 0; export const tool = { name: 'x', trigger: '', respond: () => '' }",
    /tool: it is no tool: trigger: /,
  ],
  [
    "export default () => 0; export const tool = { name: 'x', trigger: '=' }",
    /no tool: respond: it must be a function of a text; /,
  ],
  [
    "export default { columns: {}, prompt: () => 0, tool: { name: 'x', respond: () => '' } }",
    /no task: tool\.trigger: /,
  ],
  ['export default () => 0; export const prompts = []', /its prompts are no list of texts/],
  [
    'export default () => 0; export const training = { stepz: 3 }',
    /training: stepz is not a known key; did you mean steps/,
  ],
  ['export default { columns: {}, prompt: () => 0, defaults: { seed: "x" } }', /defaults: seed must be a number/],
])('%s is refused in one line', async (text, message) => {
  const error = await loadTaskFile(file('bad.ts', text)).catch((error: unknown) => error)
  expect(error).toBeInstanceOf(UserError)
  expect((error as Error).message).toMatch(message)
  expect((error as Error).message.split('\n')).toHaveLength(1)
})

test('a file that is not there is refused as such', async () => {
  await expect(loadTaskFile(join(folder, 'absent.ts'))).rejects.toThrow(/absent\.ts: there is no such file$/)
})

test('the example is a task', async () => {
  const task = await loadTaskFile(fileURLToPath(new URL('../../examples/own-reward.ts', import.meta.url)))
  expect(task.examples).toHaveLength(16)
  expect(task.defaults).toMatchObject({ latent: { stop: '.' } })
})

test('a mistake that a file tells by another copy of this package is a mistake of the user', async () => {
  const errors = fileURLToPath(new URL('../errors.ts', import.meta.url))
  const text = `import { UserError } from ${JSON.stringify(errors)}
    export default { columns: {}, prompt: () => { throw new UserError({ what: 'no', fix: 'yes' }) } }`
  const task = await loadTaskFile(file('copy.ts', text))
  const refused = () => task.prompt({}, {} as PromptModel)
  expect(refused).toThrow(UserError)
  expect(refused).toThrow(/^no; yes$/)
})

test.each(['04-subjectivity', '05-arithmetic'])('the recipe %s is trained as it stands', async (name) => {
  const recipe = fileURLToPath(new URL(`../../examples/${name}.ts`, import.meta.url))
  const run = await startRun({
    task: recipe,
    model: embeddedModel,
    threads: 1,
    training: { steps: 1, promptsPerStep: 2 },
    folder: join(folder, name),
  })
  try {
    const events: string[] = []
    for await (const { kind } of train(run)) events.push(kind)
    expect(events.filter((kind) => kind !== 'samples')).toEqual(['started', 'step', 'finished'])
    expect(run.task.answer).toBeTypeOf('function')
  } finally {
    await run.model.dispose()
  }
})

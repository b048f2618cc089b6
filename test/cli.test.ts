/** The command line as users and machines meet it: results, progress, exit codes, and what it says of bad input. */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import {
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  truncateSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { logSumExp } from '../src/log-space.ts'
import { embeddedModel } from '../src/tasks/embedded.ts'
import type { Report } from '../src/tasks/report.ts'
import { flowtune } from './command-line.ts'

const home = mkdtempSync(join(tmpdir(), 'cli-'))
const path = (...names: string[]) => join(home, ...names)
afterAll(() => rmSync(home, { recursive: true }))

function file(name: string, content: string | Uint8Array): string {
  writeFileSync(path(name), content)
  return path(name)
}

/** What a command line says of bad input: lines that begin with the program's name, no stack, exit code 2, no result. */
async function complaint(...words: string[]): Promise<string> {
  const { code, out, err } = await flowtune(words)
  expect(out).toBe('')
  const lines = err.trimEnd().split('\n')
  for (const line of lines) expect(line).toMatch(/^flowtune: /)
  expect(err).not.toMatch(/^ +at /m)
  expect(code).toBe(2)
  return lines
    .map((line) => line.slice('flowtune: '.length))
    .join('\n')
    .replaceAll(path('/'), '')
}

const stories = ['The sun was hot.', 'Tom had a dog.', 'Lily saw a cat.', 'It was a big day.', 'They had a ball.']
const rows = stories.map((beginning) => ({ beginning, ending: 'They were happy.' }))
const data = file('stories.jsonl', rows.map((row) => JSON.stringify(row)).join('\n'))
const small = { promptsPerStep: 2, samplesPerPrompt: 6, latent: { maxTokens: 6 }, lora: { rank: 16 } }
const config = file('small.json', JSON.stringify(small))
const quick = ['train', '--data', data, '--config', config, '--steps', '2', '--threads', '1']

describe('a run', () => {
  const folder = path('run')
  const prompt = ['--beginning', 'Tom had a dog.', '--ending', 'They were happy.']
  let trained: Awaited<ReturnType<typeof flowtune>>
  beforeAll(async () => {
    trained = await flowtune([...quick, '--out', folder])
  })

  test('tells its progress in plain lines where there is no terminal', () => {
    expect(trained.code).toBe(0)
    const lines = trained.err.trimEnd().split('\n')
    expect(lines[0]).toBe(`stories260K, 260,032 parameters, and an adapter of 92,480; 4 prompts, 1 held out; ${folder}`)
    expect(lines[1]).toMatch(
      /^training 1\/2 \(50%\): \d+ s left, objective \d+\.\d\d, log R -\d+\.\d, \d+ samples\/s, \d+% distinct$/,
    )
    expect(lines).toHaveLength(4)
  })

  test('ends with one screen that shows both samplers, the folder and what to try next', () => {
    const lines = trained.out.trimEnd().split('\n')
    expect(lines.length).toBeLessThanOrEqual(24)
    expect(Math.max(...lines.map((line) => line.replaceAll(folder, 'runs/infilling-1').length))).toBeLessThanOrEqual(
      100,
    )
    expect(lines[0]).toBe('infilling with stories260K; held-out prompts: 1; samples of each sampler: 128')
    expect(trained.out).toMatch(/KL\(q ‖ posterior\), nats +\d+\.\d\d ± \d+\.\d\d +\d+\.\d\d ± \d+\.\d\d\n/)
    for (const figure of ['mean log R', 'effective sample size', 'Pareto k̂', 'distinct samples'])
      expect(trained.out).toContain(figure)
    const commands = lines.filter((line) => line.startsWith('  npx flowtune '))
    expect(commands.map((line) => line.split(' ')[4])).toEqual(['sample', 'evaluate', 'train'])
    const report: Report = JSON.parse(readFileSync(join(folder, 'evaluation.json'), 'utf8'))
    expect(report.prompts[0].example.ending).toBe('They were happy.')
    expect(report.prompts[0].samplers.tuned.samples).toHaveLength(8)
  })

  test('keeps everything in its folder', () => {
    expect(readdirSync(folder).sort()).toEqual(
      ['adapter', 'checkpoints', 'config.json', 'evaluation.json', 'events.jsonl', 'samples.jsonl'].sort(),
    )
    const record = JSON.parse(readFileSync(join(folder, 'config.json'), 'utf8'))
    expect(record).toMatchObject({ task: 'infilling', threads: 1, training: { ...small, steps: 2, seed: 0 } })
    expect(record.data.file).toBe(data)
  })

  test('gives samples with log q and log R, the same ones for the same seed', async () => {
    const draw = (...words: string[]) => flowtune(['sample', folder, ...prompt, '--samples', '3', '--json', ...words])
    const { code, out, err } = await draw()
    expect([code, err]).toEqual([0, ''])
    const samples = JSON.parse(out)
    expect(samples).toHaveLength(3)
    for (const sample of samples) {
      expect(Object.keys(sample)).toEqual(['prompt', 'text', 'tokens', 'logQ', 'logReward'])
      expect(sample.prompt).toBe('Tom had a dog. ... They were happy.')
      expect(sample.tokens.length).toBeLessThanOrEqual(6)
      expect(sample.logQ).toBeLessThan(0)
      expect(sample.logReward).toBeLessThan(0)
    }
    expect((await draw()).out).toBe(out)
    expect((await draw('--seed', '1')).out).not.toBe(out)
  })

  test('shows samples to people, one a line', async () => {
    const { code, out } = await flowtune(['sample', folder, ...prompt, '--samples', '4'])
    expect(code).toBe(0)
    expect(out.trimEnd().split('\n')).toHaveLength(5)
    expect(out).toMatch(/^ *log q +log R\n( *-\d+\.\d +-\d+\.\d {2}.*\.\n){4}$/)
  })

  test('is evaluated again, and on other prompts', async () => {
    const own = JSON.parse((await flowtune(['evaluate', folder, '--samples', '4', '--json'])).out)
    expect(own).toMatchObject({ samples: 4, rewardTemperature: 1 })
    expect(Object.keys(own.summary)).toEqual(['base', 'tuned'])
    const other = await flowtune(['evaluate', folder, '--data', data, '--prompts', '2', '--samples', '4'])
    expect(other.code).toBe(0)
    expect(other.out).toContain(`; prompts of ${data}: 2; samples of each sampler: 4\n`)
  })

  test('scores a text under its adapter, otherwise than the base model does', async () => {
    const text = 'Tom had a dog.'
    const tuned = JSON.parse((await flowtune(['score', folder, text, '--json'])).out)
    const base = JSON.parse((await flowtune(['score', '--model', embeddedModel, text, '--json'])).out)
    expect(tuned.tokens).toEqual(base.tokens)
    expect(tuned.tokens[0]).toBe(1)
    expect(tuned.logProbabilities).not.toEqual(base.logProbabilities)
    expect(tuned.logProbabilities[0]).toBeNull()
    const shown = await flowtune(['score', folder, text])
    expect(shown.out).toMatch(/tokens after the first: -\d+\.\d{3} nats\n$/)
  })

  test('prints nothing but JSON on standard output where that is asked for, and a bar on a terminal', async () => {
    const { code, out, err } = await flowtune([...quick, '--out', path('json'), '--json'], true)
    expect(code).toBe(0)
    expect(JSON.parse(out)).toMatchObject({ run: path('json'), samples: 128 })
    expect(err).toMatch(/training █+░+ 50% {2}\d+ s left, objective/)
  })

  test('is not overwritten', async () => {
    const before = readFileSync(join(folder, 'events.jsonl'))
    expect(await complaint(...quick, '--out', folder)).toBe('run: this folder exists; resume it, or choose another one')
    expect(readFileSync(join(folder, 'events.jsonl'))).toEqual(before)
  })

  test('of a damaged checkpoint offers the previous good one', async () => {
    const damaged = path('damaged')
    await flowtune([...quick, '--out', damaged, '--set', 'checkpoints.every=1'])
    truncateSync(join(damaged, 'checkpoints', '000002', 'state.json'), 10)
    expect(await complaint('train', '--resume', damaged)).toMatch(
      /^damaged.checkpoints.000002: the checkpoint is damaged: state\.json has 10 bytes .*; resume with --from-step 1$/,
    )
    const { code, err } = await flowtune(['train', '--resume', damaged, '--from-step', '1'])
    expect([code, err.split('\n')[0]]).toEqual([0, 'going on from the checkpoint of step 1 of 2'])
  })
})

describe('continuation', () => {
  const folder = path('continuation')
  beforeAll(async () => {
    const { code } = await flowtune(['train', 'continuation', ...quick.slice(3), '--out', folder])
    expect(code).toBe(0)
  })

  test('learns from what comes with it, by its own defaults where the user says nothing else', () => {
    const record = JSON.parse(readFileSync(join(folder, 'config.json'), 'utf8'))
    expect(record.data.file).toMatch(/data.prompts.train\.txt$/)
    expect(record.training.latent).toMatchObject({ stop: '.', minTokens: 1, maxTokens: 6, plainSentence: true })
    expect(record.training.rewardTemperature).toMatchObject({ to: 0.9 })
  })

  test('is told in likelihoods, their best, and diversity', async () => {
    const { out } = await flowtune(['evaluate', folder, '--prompts', '2', '--samples', '4'])
    const row = (label: string) => out.split('\n').find((line) => line.startsWith(label))
    expect(row('the best samples')).toMatch(/-\d+\.\d\d \/ -\d+\.\d\d +-\d+\.\d\d \/ -\d+\.\d\d$/)
    expect(row('variance of log R')).toMatch(/\d+\.\d\d ± /)
    expect(row('distinct samples / mean edit distance')).toMatch(/100 % \/ \d+ % /)
    expect(row('effective sample size')).toBeUndefined()
  })

  test('samples for a prompt whose last space is the latent’s', async () => {
    const draw = async (...words: string[]) => JSON.parse((await flowtune(['sample', ...words, '--json'])).out)
    const samples = await draw(folder, '--prompt', 'Tom had a dog. ')
    expect(samples).toEqual(await draw(folder, '--prompt', 'Tom had a dog.'))
    for (const { text, tokens } of samples) {
      expect(text).not.toMatch(/["?!\n]/)
      expect(tokens.length).toBeGreaterThan(0)
    }
    const base = await draw('--model', embeddedModel, '--task', 'continuation', '--prompt', 'Tom had a dog.')
    const whole = base.filter(({ tokens }: { tokens: number[] }) => tokens.length < 30) // ⊤ is forced on the others
    expect(whole.length).toBeGreaterThan(2)
    for (const { logQ, logReward } of whole) expect(logReward).toBeCloseTo(logQ, 3) // both are renormalised
  })
})

describe('a model that chats', () => {
  const model = path('chatty')
  const template = "{% for m in messages %}{{ bos_token + m['content'] + '\\n' }}{% endfor %}"
  beforeAll(() => {
    cpSync(embeddedModel, model, { recursive: true })
    writeFileSync(join(model, 'chat_template.jinja'), template)
  })

  test('is asked in its template where the user wants that, also for samples and after a change of the template', async () => {
    const folder = path('chat')
    expect((await flowtune([...quick, '--model', model, '--chat', '--out', folder])).code).toBe(0)
    expect(JSON.parse(readFileSync(join(folder, 'config.json'), 'utf8')).chat).toBe(template)
    const draw = (...words: string[]) =>
      flowtune(['sample', ...words, '--beginning', 'Tom sat.', '--ending', 'He ran.', '--json'])
    const before = await draw(folder)
    writeFileSync(join(model, 'chat_template.jinja'), `new${template}`)
    expect(await draw(folder)).toEqual(before)
    const [plain, chat] = [await draw('--model', model), await draw('--model', model, '--chat')]
    expect(chat.code).toBe(0)
    expect(chat.out).not.toBe(plain.out)
  })

  test('others are refused before any work', async () => {
    expect(await complaint(...quick, '--chat')).toMatch(
      /stories260K: the model has no chat template; do without --chat$/,
    )
    expect(await complaint('sample', 'runs/x', '--chat')).toBe(
      'a run does not go with --chat; it has its own; name a model with --model',
    )
  })
})

describe("a user's own reward", () => {
  const mine = file(
    'mine.ts',
    `export default (text: string, { logLikelihood, example }: { logLikelihood: number; example: { word?: string } }): number =>
       logLikelihood - (example.word && text.includes(example.word) ? 0 : 3)
     export const prompts = [{ prompt: 'Tom had a dog.', word: 'dog' }, { prompt: 'Lily saw a cat.', word: 'cat' }]`,
  )
  const folder = path('own')
  beforeAll(async () => {
    const { code, out } = await flowtune(['train', mine, ...quick.slice(3), '--out', folder])
    expect(code).toBe(0)
    expect(out).toMatch(/^mine with stories260K; held-out prompts: 1; /)
  })

  test('is trained from a file, and sampled for by its columns', async () => {
    const sample = ['sample', folder, '--prompt', 'Tom sat.', '--field', 'word=dog', '--samples', '2', '--json']
    expect(JSON.parse((await flowtune(sample)).out)).toHaveLength(2)
    expect(await complaint('sample', folder, '--prompt', 'Tom sat.', '--field', 'wrod=dog')).toBe(
      'mine has no column "wrod"; it has prompt, word, known',
    )
    expect(await complaint('sample', folder)).toBe('the prompt is missing; give it with --prompt "…"')
  })

  test('is not gone on with when the file has changed', async () => {
    writeFileSync(mine, `${readFileSync(mine, 'utf8')}\n// otherwise`)
    expect(await complaint('train', '--resume', folder)).toBe(
      'mine.ts: this file has changed since the run began; start a new run',
    )
  })

  test('that fails is told before there is a run', async () => {
    const wrong = file('wrong.ts', 'export default (text: any) => text.a.b\nexport const prompts = ["Tom sat."]')
    expect(await complaint('train', wrong, '--out', path('none'))).toMatch(
      /^reward "wrong" of ".*": TypeError: .* \(wrong\.ts, line 1\); mend the function$/,
    )
    const bare = file('bare.ts', 'export default () => 0')
    expect(await complaint('train', bare, '--out', path('none'))).toBe(
      'there is nothing to train bare on; give a file with --data',
    )
    expect(existsSync(path('none'))).toBe(false)
  })
})

test('known latents of the data begin in the replay buffer; those that cannot be are told of', async () => {
  const known = file('known.jsonl', rows.map((row) => JSON.stringify({ ...row, middle: 'They played.' })).join('\n'))
  const columns = ['--columns', 'known=middle']
  const run = ['train', '--data', known, ...columns, ...quick.slice(3), '--out', path('known')]
  const { code, err } = await flowtune([...run, '--set', 'latent.minTokens=5'])
  expect(code).toBe(0)
  expect(err).toMatch(
    /\nwarning: 4 of 4 known latents are none that could be sampled, and were left out; see the limits/,
  )
  expect(readFileSync(path('known', 'events.jsonl'), 'utf8')).toContain('"kind":"warning"')
})

describe('score agrees with the logits of other software', () => {
  const golden = fileURLToPath(new URL('./golden', import.meta.url))
  test.each(['llama', 'llama_rope_scaled', 'gpt2'])(
    '%s, without a tokenizer, with and without an adapter',
    async (name) => {
      const expected = JSON.parse(readFileSync(join(golden, `models-${name}.json`), 'utf8'))
      const score = async (...words: string[]) => {
        const model = join(golden, 'checkpoints', name)
        const { out } = await flowtune([
          'score',
          '--model',
          model,
          '--tokens',
          expected.tokens.join(),
          '--json',
          ...words,
        ])
        return JSON.parse(out)
      }
      const base = await score()
      const adapted = await score('--adapter', join(golden, 'adapters', name))
      expect(Object.keys(base)).toEqual(['tokens', 'logProbabilities'])
      expect(base.tokens).toEqual(expected.tokens)
      for (const [{ logProbabilities }, logits] of [
        [base, expected.logits],
        [adapted, expected.adapter.logits],
      ]) {
        expect(logProbabilities[0]).toBeNull()
        const wanted = logProbabilitiesOf(logits, expected.tokens)
        for (const [i, value] of wanted.entries()) expect(logProbabilities[i + 1]).toBeCloseTo(value, 3)
      }
    },
  )

  /** log softmax of each row of logits at the token that follows it. */
  function logProbabilitiesOf(logits: number[], tokens: number[]): number[] {
    const vocabulary = logits.length / tokens.length
    return tokens.slice(1).map((token, i) => {
      const row = logits.slice(i * vocabulary, (i + 1) * vocabulary)
      return row[token] - logSumExp(row)
    })
  }
})

describe('bad input is told in a line, before any work:', () => {
  const out = path('never')
  const train = (...words: string[]) => complaint('train', '--data', data, '--out', out, ...words)
  afterAll(() => expect(existsSync(out)).toBe(false))

  /** A copy of the embedded model with one of its files changed. */
  function harmed(name: string, change: (folder: string) => void): string {
    cpSync(embeddedModel, path(name), { recursive: true })
    change(path(name))
    return path(name)
  }

  const harmedConfig = (name: string, changes: object) =>
    harmed(name, (folder) => {
      const config = JSON.parse(readFileSync(join(folder, 'config.json'), 'utf8'))
      writeFileSync(join(folder, 'config.json'), JSON.stringify({ ...config, ...changes }))
    })

  test('a model folder that is missing or empty', async () => {
    mkdirSync(path('empty'))
    for (const name of ['missing', 'empty'])
      expect(await train('--model', path(name))).toBe(
        `${name}: no model here: there is no config.json; give a model folder with config.json, tokenizer.json and model.safetensors`,
      )
  })

  test('weights that are truncated', async () => {
    const model = harmed('truncated', (folder) => truncateSync(join(folder, 'model.safetensors'), 100_000))
    expect(await train('--model', model)).toMatch(/^truncated.model\.safetensors.*100,?000/)
  })

  test('weights with an impossible header', async () => {
    const model = harmed('oversized', (folder) => {
      const weights = readFileSync(join(folder, 'model.safetensors'))
      weights.writeBigUInt64LE(1n << 40n, 0)
      writeFileSync(join(folder, 'model.safetensors'), weights)
    })
    expect(await train('--model', model)).toMatch(/^oversized.model\.safetensors.*header/)
  })

  test('weights of another shape than config.json says', async () => {
    const model = harmedConfig('misshapen', { vocab_size: 600 })
    expect(await train('--model', model)).toBe(
      'misshapen: tensor model.embed_tokens.weight has shape [512,64], but config.json asks for [600,64]; use the config.json that belongs to these weights',
    )
  })

  test('a tokenizer that has more tokens than the weights', async () => {
    const model = harmed('wordy', (folder) => {
      const tokenizer = JSON.parse(readFileSync(join(folder, 'tokenizer.json'), 'utf8'))
      tokenizer.added_tokens.push({ ...tokenizer.added_tokens[0], id: 512, content: '<more>' })
      writeFileSync(join(folder, 'tokenizer.json'), JSON.stringify(tokenizer))
    })
    expect(await train('--model', model)).toBe(
      'wordy: the tokenizer has 513 tokens, and the model knows 512; use the tokenizer that belongs to these weights',
    )
  })

  test('an unknown architecture', async () => {
    const model = harmedConfig('unknown', { model_type: 'mamba' })
    expect(await train('--model', model)).toMatch(
      /^unknown.config\.json: unknown architecture "mamba"; use a checkpoint of .*llama/,
    )
  })

  test('mistakes in a config, all at once', async () => {
    const config = file('wrong.json', JSON.stringify({ stepz: 3, latent: { maxTokns: 20 }, lora: { rank: 0 } }))
    expect((await train('--config', config)).split('\n').sort()).toEqual([
      'wrong.json: latent.maxTokns is not a known key; did you mean latent.maxTokens?',
      'wrong.json: lora.rank must be more than 0, got 0',
      'wrong.json: stepz is not a known key; did you mean steps?',
    ])
    expect(await train('--set', 'latent.maxTokns=20', '--set', 'objective.name=trajectory-balanc')).toBe(
      [
        '--set: latent.maxTokns is not a known key; did you mean latent.maxTokens?',
        '--set: objective.name must be "subtrajectory-balance" or "trajectory-balance" or "log-partition-variance" or "detailed-balance", got "trajectory-balanc"; did you mean "trajectory-balance"?',
      ].join('\n'),
    )
  })

  test('a prompt that is longer than the context', async () => {
    const long = file('long.jsonl', JSON.stringify({ beginning: 'and then '.repeat(300), ending: 'They were happy.' }))
    expect(await complaint('train', '--data', long, '--out', out)).toMatch(
      /^prompt 1 \(and then .*\.\.\.\): it has \d+ tokens; stories260K reads 512 and the latent may take 17; shorten it/,
    )
  })

  test.each([
    ['empty', 'nothing.csv', '', 'nothing.csv: there are no rows in it'],
    [
      'not UTF-8',
      'latin1.csv',
      Buffer.from('beginning,ending\ncafé,x\n', 'latin1'),
      'latin1.csv, line 2: not UTF-8, or not text; save it as UTF-8',
    ],
    [
      'without a column',
      'columns.csv',
      'begining,ending\na,b\n',
      'columns.csv: there is no column "beginning", only "begining", "ending"; did you mean "begining"? Rename it, or map it',
    ],
  ])('data that is %s', async (_, name, content, message) => {
    expect(await complaint('train', '--data', file(name, content), '--out', out)).toBe(message)
  })

  test('a data file that does not exist, and columns that no task has', async () => {
    expect(await complaint('train', '--data', path('absent.csv'))).toBe('absent.csv: there is no such file')
    expect(await train('--columns', 'beginings=a')).toBe(
      'infilling has no column "beginings"; did you mean "beginning"?',
    )
  })

  test('test data that leaves nothing to train on', async () => {
    expect(await train('--test-data', data)).toMatch(/^data: every row of the data is also in the test data/)
  })

  test('a run that is none', async () => {
    expect(await complaint('sample', path('missing'), '--beginning', 'a', '--ending', 'b')).toBe(
      'missing: no run here: there is no config.json; there is no such folder',
    )
    expect(await complaint('sample', embeddedModel, '--beginning', 'a', '--ending', 'b')).toMatch(
      /config\.json: this is not the record of a run; name a run folder; a model folder is named with --model$/,
    )
  })

  test('tokens that do not exist, and an adapter of another model', async () => {
    expect(await complaint('score', '--model', embeddedModel, '--tokens', '5,512')).toBe(
      'text to score: token 512 is not in the vocabulary; use 0 to 511',
    )
    const adapter = fileURLToPath(new URL('./golden/adapters/llama', import.meta.url))
    expect(await complaint('score', '--model', embeddedModel, '--adapter', adapter, '--tokens', '5,6')).toMatch(
      /use it with the model that it was trained on$/,
    )
  })

  test.each([
    [
      'an unknown task',
      ['train', 'infiling', '--data', data],
      'there is no task "infiling"; did you mean "infilling"?',
    ],
    [
      'a resumed run with other options',
      ['train', '--resume', 'runs/x', '--seed', '3'],
      '--resume does not go with --seed; a run goes on with what its config.json says',
    ],
    [
      'a number that is none',
      ['train', '--steps', 'many'],
      "option '--steps <number>' argument 'many' is invalid. It must be a whole number of at least 1.",
    ],
    ['no model', ['sample', '--beginning', 'a'], 'there is no model to use; name a run, or a model with --model'],
    [
      'nothing to score',
      ['score', '--model', embeddedModel],
      'there must be either a text or --tokens; see flowtune score --help',
    ],
  ])('%s', async (_, words, message) => {
    expect(await complaint(...words)).toBe(message)
  })

  test('commands and options that do not exist, with the nearest that do', async () => {
    for (const [words, message] of [
      [['trian'], "flowtune: unknown command 'trian'\n(Did you mean train?)\n"],
      [['train', '--stps', '3'], "flowtune: unknown option '--stps'\n(Did you mean --steps?)\n"],
    ] as const)
      expect(await flowtune(words)).toEqual({ code: 2, out: '', err: message })
  })
})

test('every command explains itself with examples, and help is no failure', async () => {
  for (const command of ['start', 'train', 'sample', 'evaluate', 'score']) {
    const { code, out } = await flowtune([command, '--help'])
    expect(code).toBe(0)
    expect(out).toMatch(new RegExp(`Examples:\n  \\$ flowtune ${command}`))
    expect(out).toContain('--threads')
    expect(out).toContain('--json')
    expect((await flowtune([command, '--version'])).out).toMatch(/^\d+\.\d+\.\d+\n$/)
  }
})

describe('as a process', () => {
  const main = fileURLToPath(new URL('../src/cli/main.ts', import.meta.url))
  const start = (...words: string[]) => spawn(process.execPath, ['--import', 'tsx', main, ...words])

  test('it ends with the exit code and says nothing besides', async () => {
    const child = start('score', '--model', path('nowhere'), '--tokens', '1,2')
    const exited = once(child, 'exit')
    const err = await textOf(child.stderr)
    expect(err).toMatch(/^flowtune: .*nowhere: no model here/)
    expect(err.trim().split('\n')).toHaveLength(1)
    expect(await exited).toEqual([2, null])
  })

  test('Ctrl-C finishes the step, leaves a checkpoint and says how to go on', async () => {
    const folder = path('interrupted')
    const child = start(...quick, '--steps', '500', '--out', folder)
    const exited = once(child, 'exit')
    child.stderr.once('data', () => setTimeout(() => child.kill('SIGINT'), 1500)) // the first line tells that it has begun
    const err = await textOf(child.stderr)
    expect(await exited).toEqual([1, null])
    const [, step] = err.match(
      /flowtune: stopped after step (\d+) of 500; go on with: npx flowtune train --resume (.*)\n$/,
    )!
    expect(readdirSync(join(folder, 'checkpoints'))).toContain(step.padStart(6, '0'))
  })

  async function textOf(stream: NodeJS.ReadableStream): Promise<string> {
    let text = ''
    for await (const chunk of stream) text += chunk
    return text
  }
})

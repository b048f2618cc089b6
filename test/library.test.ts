/** The library as a user meets it: the example of the README, and the types of its names. */
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, expectTypeOf, test } from 'vitest'
import { loadCheckpoint } from '../src/checkpoint/load.ts'
import {
  calculator,
  classifier,
  constrained,
  embeddedModel,
  fewShotPosterior,
  fineTune,
  type LanguageModel,
  loadLanguageModel,
  posterior,
  type Reward,
  recorded,
  type TrainingEvent,
  type TrainingState,
  tempered,
  UserError,
} from '../src/index.ts'

let model: LanguageModel
beforeAll(async () => {
  model = await loadLanguageModel(embeddedModel, { threads: 1 })
})
afterAll(() => model.dispose())

const prompts = ['Once upon a time, there was a little girl named Lily.', 'Tom and Ben went to the park.']

test('the example: a stream of events that ends with the trained adapter', async () => {
  const run = fineTune({
    model,
    prompts,
    reward: posterior({ ending: 'They all went home happy.' }),
    latent: { maxTokens: 20 },
    seed: 1,
    steps: 2,
  })
  const events: TrainingEvent[] = []
  for await (const event of run) events.push(event)
  expect(events.map(({ kind, step }) => `${kind} ${step}`)).toEqual([
    'started 0',
    'samples 0',
    'step 1',
    'samples 1',
    'step 2',
    'finished 2',
  ])
  const [, samples] = events
  if (samples.kind !== 'samples') throw new Error('no samples')
  for (const { prompt, tokens, logQ, logReward } of samples.samples) {
    expect(prompts).toContain(prompt)
    expect(tokens.length).toBeLessThanOrEqual(20)
    expect(logQ).toBeLessThan(0)
    expect(logReward).toBeLessThan(0)
  }
  const last = events[events.length - 1]
  if (last.kind !== 'finished') throw new Error('no end')
  expect(last.reason).toBe('steps')
  const second = Object.entries(last.state.adapter.weights).filter(([name]) => name.endsWith('lora_B.weight'))
  expect(second.length).toBeGreaterThan(0)
  for (const [, { data }] of second) expect(data.some(Boolean)).toBe(true) // they begin as zeros
})

test('mistakes in the config are told before any work, all of them', async () => {
  const run = fineTune({
    model,
    prompts,
    reward: posterior({ ending: 'The end.' }),
    // @ts-expect-error a mistyped key does not compile either
    latent: { maxTokns: 20 },
    steps: 0,
  })
  await expect(run.next()).rejects.toThrow(
    'config: steps must be more than 0, got 0\nconfig: latent.maxTokns is not a known key; did you mean latent.maxTokens?',
  )
})

describe('lora.targets', () => {
  const started = async (targets: string | string[] | null) => {
    const run = fineTune({ model, prompts, reward: posterior({ ending: 'The end.' }), lora: { rank: 2, targets } })
    const { value } = await run.next()
    await run.return(undefined)
    if (value?.kind !== 'started') throw new Error('not started')
    return value.parameters.trained
  }

  test('choose the adapted layers by a list or a pattern; all of the architecture where it is null', async () => {
    const query = 2 * (64 + 64) // A and B of rank 2, in each of 5 layers
    expect(await started(['q_proj'])).toBe(5 * query)
    expect(await started(String.raw`model\.layers\.[01]\.self_attn\.q_proj`)).toBe(2 * query)
    expect(await started('all-linear')).toBe(await started(null))
  })

  test('that the model does not have are refused before any work', async () => {
    await expect(started(['q_prj'])).rejects.toThrow(
      'lora.targets: the model has no linear layer q_prj; did you mean q_proj?; choose among q_proj, k_proj,',
    )
  })
})

test('a prompt that leaves no room for the latent is refused by its name', async () => {
  const long = { name: 'the long one', prompt: new Array<number>(500).fill(300) }
  const run = fineTune({ model, prompts: [...prompts, long], reward: posterior({ ending: 'The end.' }) })
  await expect(run.next()).rejects.toThrow(
    'prompt 3 (the long one): it has 500 tokens; stories260K reads 512 and the latent may take 17; shorten it, or lower latent.maxTokens',
  )
})

test('a reward and a tool that cannot work are refused before any work', async () => {
  const refused = (options: Partial<Parameters<typeof fineTune>[0]>) =>
    expect(fineTune({ model, prompts, reward: tempered(), ...options }).next()).rejects
  const demonstrations = new Array<string>(60).fill('Tom had a dog. He was happy.')
  await refused({ reward: fewShotPosterior({ demonstrations, ending: 'The end.' }) }).toThrow(
    /reward: its text takes \d+ \+ 17 \+ \d+ tokens .* and the model reads 512; give fewer demonstrations/,
  )
  const constraints = [classifier({ model: 'none.onnx', tokenizer: embeddedModel, label: 0 })]
  await refused({ reward: constrained({ constraints }) }).toThrow(/none\.onnx: no such file/)
  await refused({ tool: { ...calculator(), trigger: '' } }).toThrow('tool "calculator": its trigger is empty')
})

test('a tool that throws ends the run with its name', async () => {
  const broken = { name: 'search', trigger: 'a', respond: () => Promise.reject(new Error('no network')) }
  const run = fineTune({ model, prompts, reward: tempered(), tool: broken, samplesPerPrompt: 16, steps: 1 })
  const toEnd = async () => {
    for await (const _ of run);
  }
  await expect(toEnd()).rejects.toThrow(/^tool "search": it threw "no network" for ".*a"; mend the tool/)
})

describe('a reward that fails at its second call', () => {
  const folder = mkdtempSync(join(tmpdir(), 'library-'))
  afterAll(() => rmSync(folder, { recursive: true }))
  const options = {
    steps: 3,
    promptsPerStep: 1,
    samplesPerPrompt: 4,
    latent: { maxTokens: 4 },
    checkpoints: { every: 1 },
  }

  /** One for each prefix, or what is given from the second call on. */
  function failing(row: (latent: readonly number[]) => number[]): Reward {
    let calls = 0
    return {
      name: 'mine',
      score: async (_, latents) => {
        calls++
        return {
          logReward: latents.map((latent) => (calls > 1 ? row(latent) : [0, ...latent.map(() => 0)])),
          parts: {},
        }
      },
    }
  }

  test.each([
    ['NaN', () => [0, 0, 0, 0, Number.NaN], /log R of latent 1 at prefix 4 is NaN; it must be a finite number/],
    ['a wrong shape', () => [0], /latent 1 has \d prefixes and got 1 numbers/],
  ])('by %s stops the run, names the prompt and leaves the last checkpoint whole', async (name, row, message) => {
    const place = join(folder, name)
    const latent = { ...options.latent, minTokens: 4 }
    const run = fineTune({ model, prompts: ['Tom had a dog.'], reward: failing(row), ...options, latent })
    const follow = async () => {
      for await (const _ of recorded(run, { folder: place, model, keep: 2 }));
    }
    mkdirSync(place)
    const error = await follow().then(
      () => undefined,
      (error: unknown) => error,
    )
    expect(error).toBeInstanceOf(UserError)
    expect((error as UserError).message).toMatch(/^reward "mine", prompt "Tom had a dog\.": /)
    expect((error as UserError).message).toMatch(message)
    expect((error as UserError).exitCode).toBe(1)
    expect((await loadCheckpoint(place)).step).toBe(1)
  })
})

test('the public types are what an editor should show', () => {
  expectTypeOf(loadLanguageModel).returns.resolves.toEqualTypeOf<LanguageModel>()
  expectTypeOf(fineTune).returns.toEqualTypeOf<AsyncGenerator<TrainingEvent>>()
  expectTypeOf(posterior).returns.toEqualTypeOf<Reward>()
  expectTypeOf<Extract<TrainingEvent, { kind: 'finished' }>['state']>().toEqualTypeOf<TrainingState>()
  expectTypeOf<Extract<TrainingEvent, { kind: 'step' }>['metrics']>().toHaveProperty('loss/objective')
})

/** A tool writes into latents: what was drawn, its log q, its reward and what is learned from it agree, also when it is replayed. */
import { copyFileSync, existsSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { initialAdapter, type LoraAdapter } from '../src/adapters/lora.ts'
import { compareExactly, enumerateLatents } from '../src/evaluation/enumerate.ts'
import { writeJson } from '../src/files.ts'
import { learnStep } from '../src/gflownet/learn-step.ts'
import { scoreUnderPolicy } from '../src/gflownet/policy.ts'
import { draw, emptyBuffer, insert, replayBufferSchema } from '../src/gflownet/replay-buffer.ts'
import type { Trajectory } from '../src/gflownet/trajectory.ts'
import { logSumExp } from '../src/log-space.ts'
import { describeModel, type LanguageModel, loadLanguageModel } from '../src/models/language-model.ts'
import { textLogits } from '../src/models/score.ts'
import { seededRandom } from '../src/random.ts'
import { posterior } from '../src/rewards/posterior.ts'
import type { RewardContext } from '../src/rewards/reward.ts'
import { tempered } from '../src/rewards/tempered.ts'
import { float32 } from '../src/runtime/host-tensor.ts'
import { calculator } from '../src/sampling/calculator.ts'
import type { Latent } from '../src/sampling/latent.ts'
import { sampleWithTool } from '../src/sampling/sample.ts'
import { innerBias, type Support } from '../src/sampling/support.ts'
import { type BoundTool, bindTool, type Tool } from '../src/sampling/tools.ts'
import { loadTokenizer } from '../src/tokenizer/tokenizer.ts'
import { tokenBias } from '../src/tokenizer/vocabulary.ts'
import { fineTune } from '../src/trainers/train.ts'
import { writeSafetensors } from '../src/weights/safetensors.ts'
import { fromRoot } from './from-root.ts'
import { actionsOf, keyOf, withTool } from './with-tool.ts'

const embedded = fromRoot('models/stories260K')
const TOLERANCE = 1e-4 // nats, between packed and separate passes in float32

const TOKENIZERS = {
  gpt2: '../shared/data/tokenizers/gpt2',
  llama2: '../shared/data/tokenizers/llama2',
  smollm2: '../shared/data/tokenizers/smollm2',
  stories260K: 'models/stories260K',
}

for (const [name, folder] of Object.entries(TOKENIZERS)) {
  const absent = !existsSync(fromRoot(folder))
  describe.skipIf(absent)(`a calculator with ${name}${absent ? `: skipped, there is no ${folder}` : ''}`, () => {
    const place = mkdtempSync(join(tmpdir(), 'tool-'))
    let model: LanguageModel
    let adapter: LoraAdapter
    let support: Support
    let prompt: number[]
    let tool: BoundTool
    let drawn: Latent[]
    const reward = posterior({ ending: ' The answer is 9.', stopInText: false })

    beforeAll(async () => {
      model =
        name === 'stories260K'
          ? await loadLanguageModel(embedded, { threads: 1 })
          : await randomModel(fromRoot(folder), place)
      const { description, tokenizer } = model
      adapter = randomAdapter(model)
      const { vocabulary } = description.dimensions
      const allowed = [' 2', ' 7', ' +', ' -', ' =', ','].flatMap((text) => tokenizer.encodeContinuation(text))
      const [stop] = tokenizer.encodeContinuation('.')
      support = { stop, minTokens: 2, maxTokens: 10, bias: tokenBias(vocabulary, { allowed }) }
      prompt = tokenizer.encode('Question: 2 + 7 - 2 = ? Answer:', { addSpecialTokens: true })
      tool = bindTool(calculator(), tokenizer)
      drawn = await model.lanes.use((lane) =>
        sampleWithTool(lane, { model: description, adapter, support, tool }, sampling(prompt, 96, 1, 6)),
      )
    })
    afterAll(async () => {
      await model?.dispose()
      rmSync(place, { recursive: true })
    })

    test('writes after the policy, which chooses no more and no fewer tokens than it may', async () => {
      const used = drawn.filter(({ inserted }) => inserted.length > 0)
      expect(used.length).toBeGreaterThan(5)
      expect(used.length).toBeLessThan(drawn.length)
      for (const latent of drawn) {
        const actions = actionsOf(latent)
        expect(actions.length).toBeGreaterThanOrEqual(support.minTokens)
        expect(actions.length).toBeLessThanOrEqual(support.maxTokens)
        expect(await withTool(tool, actions)).toEqual(latent)
      }
    })

    test('a replayed trajectory has the log q and the reward that it had when it was drawn', async () => {
      const { description, tokenizer, lanes } = model
      const policy = { model: description, adapter, support }
      const inserted = drawn.map((latent) => latent.inserted)
      const latents = drawn.map(({ tokens }) => tokens)
      const contextOf = (lane: RewardContext['lane'], all: readonly Latent['inserted'][]): RewardContext => ({
        lane,
        model: description,
        tokenizer,
        support,
        prompt,
        inserted: all,
      })
      await lanes.use(async (lane) => {
        const scores = await scoreUnderPolicy(lane, policy, { prompt, latents, inserted })
        const { logReward } = await reward.score(contextOf(lane, inserted), latents)
        const fresh = drawn.map(
          ({ tokens, inserted }, n): Trajectory => ({ tokens, inserted, logReward: logReward[n], source: 'policy' }),
        )
        const buffer = insert(emptyBuffer({ capacity: 96, nearDuplicate: 0, drawing: 'uniform' }), 'x', fresh)
        const revived = replayBufferSchema.parse(JSON.parse(JSON.stringify(buffer)))
        const replayed = draw(revived, 'x', { count: 40, temperature: 1 }, seededRandom(2).at('replay'))
        expect(replayed.some(({ inserted = [] }) => inserted.length > 0)).toBe(true)

        const again = {
          prompt,
          latents: replayed.map(({ tokens }) => tokens),
          inserted: replayed.map(({ inserted = [] }) => inserted),
          logRewards: replayed.map(({ logReward }) => logReward),
          logPartition: 0,
        }
        const objective = { name: 'subtrajectory-balance', lambda: 1 } as const
        const learned = await learnStep(lane, { ...policy, objective }, again)
        const { logReward: rewarded } = await reward.score(contextOf(lane, again.inserted), again.latents)
        for (const [n, { tokens }] of replayed.entries()) {
          const k = latents.findIndex((latent) => `${latent}` === `${tokens}`)
          for (const key of ['logTokens', 'logStop'] as const) close(learned.scores[n][key], scores[k][key])
          close([learned.scores[n].logQ], [scores[k].logQ])
          close(rewarded[n], logReward[k])
          expect(replayed[n].logReward).toEqual(logReward[k])
        }
      })
    })

    test('log q is that of the tokens that the policy chose, in the text with what was inserted', async () => {
      const used = drawn.filter(({ inserted }) => inserted.length > 0).slice(0, 3)
      const { description, lanes } = model
      await lanes.use(async (lane) => {
        const latents = used.map(({ tokens }) => tokens)
        const inserted = used.map((latent) => latent.inserted)
        const scores = await scoreUnderPolicy(
          lane,
          { model: description, adapter, support },
          { prompt, latents, inserted },
        )
        for (const [n, latent] of used.entries())
          close([scores[n].logQ], [await naiveLogQ(lane, model, adapter, support, prompt, latent)])
      })
    })
  })
}

describe('where every latent can be listed', () => {
  let model: LanguageModel
  let prompt: number[]
  let tool: BoundTool
  let support: Support
  let latents: Latent[]
  /** After " big", a few words of unequal number of tokens, by what came before. */
  const adding: Tool = {
    name: 'adding',
    trigger: ' big',
    respond: (text) => (text === ' big' ? undefined : text.startsWith(' the') ? ' red' : ' and very happy'),
  }
  const WORDS = [' was', ' and', ' to', ' play', ' saw', ' the', ' a', ' big', ' with', ' it', ' happy', ' so']
  let allowed: number[]

  beforeAll(async () => {
    model = await loadLanguageModel(embedded)
    const { tokenizer, description } = model
    const { vocabulary } = description.dimensions
    allowed = WORDS.map((word) => tokenizer.encodeContinuation(word)[0])
    support = { stop: 426, minTokens: 0, maxTokens: 2, bias: tokenBias(vocabulary, { allowed }) }
    prompt = tokenizer.encode('Once upon a time, there was a little girl named Lily. She', { addSpecialTokens: true })
    tool = bindTool(adding, tokenizer)
    latents = await Promise.all(enumerateLatents(support, vocabulary).map((actions) => withTool(tool, actions)))
  })
  afterAll(() => model.dispose())

  const exactLogQ = async (limits: Support, all: readonly Latent[], adapter?: LoraAdapter) => {
    const given = { prompt, latents: all.map(({ tokens }) => tokens), inserted: all.map(({ inserted }) => inserted) }
    const policy = { model: model.description, adapter, support: limits }
    return (await model.lanes.use((lane) => scoreUnderPolicy(lane, policy, given))).map(({ logQ }) => logQ)
  }

  test.each([0, 3])(
    'latents of at least %i actions occur as often as their log q says, which sums to one',
    async (minTokens) => {
      const few = tokenBias(model.description.dimensions.vocabulary, {
        allowed: [0, 5, 6, 7, 10].map((i) => allowed[i]),
      })
      const limits = { ...support, minTokens, maxTokens: Math.max(3, minTokens + 1), bias: few }
      const listed = enumerateLatents(limits, model.description.dimensions.vocabulary)
      const possible = await Promise.all(listed.map((actions) => withTool(tool, actions)))
      expect(possible.filter(({ inserted }) => inserted.length > 0).length).toBeGreaterThan(10)
      const probabilities = (await exactLogQ(limits, possible)).map(Math.exp)
      expect(Math.abs(probabilities.reduce((a, b) => a + b) - 1)).toBeLessThan(1e-4)

      const count = 6000
      const seen = new Map<string, number>()
      const sampler = { model: model.description, support: limits, tool }
      const drawn = await model.lanes.use((lane) => sampleWithTool(lane, sampler, sampling(prompt, count, 4)))
      for (const latent of drawn) seen.set(keyOf(latent), (seen.get(keyOf(latent)) ?? 0) + 1)
      const known = new Set(possible.map(keyOf))
      expect([...seen.keys()].filter((key) => !known.has(key))).toEqual([])
      const cells = possible.flatMap((latent, i) => {
        const expected = count * probabilities[i]
        return expected < 5 ? [] : [{ expected, seen: seen.get(keyOf(latent)) ?? 0, latent }]
      })
      const chiSquare = cells.reduce((sum, { expected, seen }) => sum + (seen - expected) ** 2 / expected, 0)
      expect(cells.length).toBeGreaterThan(10)
      expect(cells.filter(({ latent }) => latent.inserted.length > 0).length).toBeGreaterThan(3)
      expect(chiSquare).toBeLessThan(cells.length + 4 * Math.sqrt(2 * cells.length)) // four standard deviations of χ²
    },
  )

  test('training reaches the exact posterior, tool and replay included', async () => {
    const reward = tempered()
    const temperature = 3
    const logReward = await model.lanes.use(async (lane) => {
      const { description, tokenizer } = model
      const inserted = latents.map((latent) => latent.inserted)
      const context = { lane, model: description, tokenizer, support, prompt, inserted, onlyWhole: true }
      const { logReward } = await reward.score(
        context,
        latents.map(({ tokens }) => tokens),
      )
      return logReward.map((row) => row[row.length - 1])
    })
    const steps = 150
    const run = fineTune({
      model,
      prompts: [prompt],
      reward,
      tool: adding,
      latent: { allowedTokens: allowed, minTokens: 0, maxTokens: 2 },
      seed: 1,
      steps,
      promptsPerStep: 1,
      samplesPerPrompt: 64,
      sources: { tempered: 0.5, replay: 0.125, temperatures: { from: 1.5, to: 3 } },
      rewardTemperature: temperature,
      optimizer: { learningRate: { from: 2e-3, to: 2e-5, steps, shape: 'cosine' }, maxGradientNorm: 10 },
    })
    let adapter: LoraAdapter | undefined
    let replayed = 0
    for await (const event of run) {
      if (event.kind !== 'finished') continue
      adapter = event.state.adapter
      replayed = Object.values(event.state.buffer.prompts)
        .flat()
        .filter(({ inserted }) => inserted).length
    }
    const before = compareExactly(logReward, await exactLogQ(support, latents), temperature)
    const after = compareExactly(logReward, await exactLogQ(support, latents, adapter), temperature)
    expect(replayed).toBeGreaterThan(0)
    expect(before.totalVariation).toBeGreaterThan(0.5)
    expect(after.entropy).toBeGreaterThan(3)
    expect(after.totalVariation).toBeLessThan(0.02)
  })

  test('an insertion that would leave no room in the context is left out', async () => {
    const { description } = model
    const { contextLength } = description.dimensions
    const rest = support.maxTokens + 1
    const sampler = { model: description, support, tool: async () => [allowed[0], allowed[1]] }
    const lengths = async (room: number) => {
      const long = new Array<number>(contextLength - room).fill(allowed[0])
      const drawn = await model.lanes.use((lane) => sampleWithTool(lane, sampler, sampling(long, 20, 1)))
      return Math.max(...drawn.map(({ tokens }) => tokens.length))
    }
    expect(await lengths(rest)).toBe(2)
    expect(await lengths(rest + 2)).toBe(4)
    expect(await lengths(rest + 4)).toBe(6)
  })
})

const sampling = (prompt: readonly number[], count: number, seed: number, temperature = 1) => ({
  prompt,
  temperatures: new Array<number>(count).fill(temperature),
  draws: seededRandom(seed).at('sample'),
})

/** log q by one pass for each choice. */
async function naiveLogQ(
  lane: RewardContext['lane'],
  { description: model }: LanguageModel,
  adapter: LoraAdapter,
  support: Support,
  prompt: readonly number[],
  { tokens, inserted }: Latent,
): Promise<number> {
  const { vocabulary } = model.dimensions
  let logQ = 0
  let actions = 0
  for (const [i, token] of [...tokens, support.stop].entries()) {
    if (inserted.includes(i)) continue
    const text = [...prompt, ...tokens.slice(0, i)]
    const row = (await textLogits(lane, { model, adapter }, text)).subarray((text.length - 1) * vocabulary)
    const bias = innerBias(support, vocabulary)
    if (actions >= support.minTokens) bias[support.stop] = 0
    if (actions < support.maxTokens) logQ += row[token] - logSumExp(row.map((logit, k) => logit + bias[k]))
    actions++
  }
  return logQ
}

function close(actual: readonly number[], wanted: readonly number[]) {
  expect(actual.length).toBe(wanted.length)
  for (const [i, value] of wanted.entries()) {
    if (value === -Infinity) expect(actual[i]).toBe(-Infinity)
    else expect(Math.abs(actual[i] - value)).toBeLessThan(TOLERANCE)
  }
}

function randomAdapter({ description }: LanguageModel): LoraAdapter {
  const config = { rank: 2, alpha: 4, targets: description.defaultTargets }
  const adapter = initialAdapter(config, description.linears, seededRandom(5))
  const draws = seededRandom(6).at('b')
  for (const [name, { data }] of Object.entries(adapter.weights))
    if (name.includes('lora_B')) for (let i = 0; i < data.length; i++) data[i] = draws.normal() * 0.2
  return adapter
}

/** A tokenizer without a model gets a tiny one with a vocabulary of its size and random weights. */
async function randomModel(tokenizerFolder: string, folder: string): Promise<LanguageModel> {
  copyFileSync(join(tokenizerFolder, 'tokenizer.json'), join(folder, 'tokenizer.json'))
  const { vocabularySize } = await loadTokenizer(folder)
  writeJson(join(folder, 'config.json'), {
    model_type: 'llama',
    vocab_size: vocabularySize,
    hidden_size: 16,
    intermediate_size: 24,
    num_hidden_layers: 2,
    num_attention_heads: 4,
    num_key_value_heads: 2,
    max_position_embeddings: 128,
    rms_norm_eps: 1e-5,
    rope_theta: 10000,
    hidden_act: 'silu',
    tie_word_embeddings: true,
  })
  const draws = seededRandom(3).at('weights')
  const weights = Object.entries(describeModel(folder).weights).map(([name, shape]) => {
    const size = shape.reduce((product, extent) => product * extent, 1)
    return [
      name,
      float32(
        shape,
        Float32Array.from({ length: size }, () => draws.normal() * 0.4),
      ),
    ]
  })
  writeSafetensors(join(folder, 'model.safetensors'), Object.fromEntries(weights))
  return loadLanguageModel(folder, { threads: 1 })
}

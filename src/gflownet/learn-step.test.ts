import { readFileSync } from 'node:fs'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { LoraAdapter } from '../adapters/lora.ts'
import { readPeftFolder } from '../adapters/peft.ts'
import { logSumExp } from '../log-space.ts'
import type { ModelDescription } from '../models/architecture.ts'
import { type Lane, type Lanes, wrapRuns } from '../models/lane.ts'
import { describeModel, loadWeights } from '../models/language-model.ts'
import { textLogits } from '../models/score.ts'
import type { HostTensor, NamedTensors } from '../runtime/host-tensor.ts'
import { innerBias, type Support } from '../sampling/support.ts'
import { type LearnBatch, learnStep } from './learn-step.ts'
import { type ObjectiveConfig, objectiveNames } from './objectives.ts'
import { type PolicyScore, scoreUnderPolicy } from './policy.ts'

const golden = new URL('../../test/golden/', import.meta.url).pathname

const STOP = 2
const free: Support = { stop: STOP, minTokens: 0, maxTokens: 99 }
const subtb: ObjectiveConfig = { name: 'subtrajectory-balance', lambda: 1 }
const every: ObjectiveConfig[] = [
  ...objectiveNames.map((name) => ({ name, lambda: 1 })),
  { name: 'subtrajectory-balance', lambda: 0.9 },
  { name: 'maximum-likelihood', lambda: 1 },
]

describe.each(['llama', 'gpt2'])('%s', (name) => {
  let model: ModelDescription
  let lanes: Lanes
  let adapter: LoraAdapter
  const prompt = (
    JSON.parse(readFileSync(`${golden}models-${name}.json`, 'utf8')) as { tokens: number[] }
  ).tokens.slice(0, 6)
  beforeAll(async () => {
    const folder = `${golden}checkpoints/${name}`
    ;({ description: model, lanes } = await loadWeights(folder, describeModel(folder), { threads: 1 }))
    adapter = readPeftFolder(`${golden}adapters/${name}`)
  })
  afterAll(() => lanes.dispose())

  type Options = { support?: Support; objective?: ObjectiveConfig; adapter?: LoraAdapter; alter?: Alter }
  const learn = (batch: LearnBatch, options: Options = {}) => {
    const { support = free, objective = subtb, alter } = options
    const setting = { model, adapter: options.adapter ?? adapter, support, objective }
    return lanes.use((lane) => learnStep(alter ? altering(lane, alter) : lane, setting, batch))
  }
  const score = (latents: readonly (readonly number[])[], support: Support, policy?: LoraAdapter) =>
    lanes.use((lane) => scoreUnderPolicy(lane, { model, adapter: policy, support }, { prompt, latents }))

  describe('padding changes no gradient', () => {
    const latents = [
      [5, 9],
      [17, 30, 6],
    ]

    test.each(every)('$name (λ = $lambda): whatever stands in the padded cells', async (objective) => {
      const batch = batchOf(prompt, latents)
      const garbage: Alter = (inputs) => {
        const { logReward, terminable, prefixQueries } = inputs
        const outside = Array.from(terminable.data as Uint8Array, (value) => value === 0)
        const otherQuery = BigInt(inputs.queries.shape[0] - 1)
        expect(outside.filter(Boolean)).toHaveLength(1) // the first latent is one token shorter
        return {
          ...inputs,
          logReward: { ...logReward, data: (logReward.data as Float32Array).map((v, i) => (outside[i] ? 1e30 : v)) },
          prefixQueries: {
            ...prefixQueries,
            data: (prefixQueries.data as BigInt64Array).map((v, i) => (outside[i] ? otherQuery : v)),
          },
        }
      }
      const plain = await learn(batch, { objective })
      expect(largest(plain.gradients)).toBeGreaterThan(0.01)
      const altered = await learn(batch, { objective, alter: garbage })
      expect(altered).toEqual(plain)
    })

    test.each(every)('$name (λ = $lambda): whatever the tokens are that pad', async (objective) => {
      // Padding reads the last packed token. Here that is a token of a latent which the objective is kept from seeing,
      // so that only the padding of the other two changes with it.
      const padders = [
        [4, 4, 4, 4, 4],
        [100, 7, 63, 20, 111],
      ]
      const [first, second] = await Promise.all(
        padders.map((padder) => learn(batchOf(prompt, [...latents, padder]), { objective, alter: unseen(2) })),
      )
      expect(first.scores[2]).not.toEqual(second.scores[2])
      expect(second.gradients).toEqual(first.gradients)
      expect(second.loss).toBe(first.loss)
      expect(second.scores.slice(0, 2)).toEqual(first.scores.slice(0, 2))

      // Against the batch without any such latent: products of other sizes are summed in another order.
      const alone = await learn(batchOf(prompt, latents), { objective })
      expect(distance(first.gradients, alone.gradients)).toBeLessThan(1e-6 * largest(alone.gradients) + 1e-7)
      expect(first.loss).toBeCloseTo(alone.loss, 4)
    })

    test('nor do log-rewards of prefixes that may not end', async () => {
      const support = { ...free, minTokens: 2 }
      const batch = batchOf(prompt, latents)
      const spoilt = batch.logRewards.map((values) => Array.from(values, (value, i) => (i < 2 ? Number.NaN : value)))
      const plain = await learn(batch, { support })
      expect(largest(plain.gradients)).toBeGreaterThan(0.01)
      expect(await learn({ ...batch, logRewards: spoilt }, { support })).toEqual(plain)
    })
  })

  test('rewards that were not asked for change nothing, whatever the others count for', async () => {
    const latents = [[5, 9, 11, 4]]
    const whole = batchOf(prompt, latents)
    const some = whole.logRewards.map((row) => Array.from(row, (r, i) => (i === 2 ? Number.NEGATIVE_INFINITY : r)))
    const part = await learn({ ...whole, logRewards: some, inclusion: [0.5] })
    const [own, logPrefix] = [part.scores[0], [0]]
    for (const logToken of own.logTokens) logPrefix.push(logPrefix.at(-1)! + logToken)
    const u = some[0].map((r, i) => r - own.logStop[i] - logPrefix[i])
    const weights = [1, 2, 0, 2, 1]
    let sum = 0
    for (let j = 0; j < u.length; j++)
      for (let i = 0; i < j; i++) if (weights[i] * weights[j] > 0) sum += weights[i] * weights[j] * (u[i] - u[j]) ** 2
    expect(part.loss / (sum / 10)).toBeCloseTo(1, 4)
    expect(largest(part.gradients)).toBeGreaterThan(0.01)
  })

  describe('latents without a token', () => {
    const empty: number[] = []

    test('have the one action ⊤', async () => {
      const [{ logTokens, logStop, logQ }] = await score([empty, [5, 9]], free)
      const logits = await lanes.use((lane) => textLogits(lane, { model }, prompt))
      const last = logits.subarray((prompt.length - 1) * model.dimensions.vocabulary)
      expect(logTokens).toEqual([])
      expect(logStop).toHaveLength(1)
      expect(logStop[0]).toBeCloseTo(last[STOP] - logSumExp(last), 5)
      expect(logQ).toBe(logStop[0])
    })

    test('add nothing to equation 3, for they have no pair of prefixes', async () => {
      const without = await learn(batchOf(prompt, [[5, 9]]))
      const batch = batchOf(prompt, [[5, 9], empty])
      const beside = await learn({ ...batch, logRewards: [batch.logRewards[0], [-50]] })
      expect(beside.loss).toBeCloseTo(without.loss, 4)
      expect(distance(beside.gradients, without.gradients)).toBeLessThan(2e-6 * largest(without.gradients))
    })

    test('may be all there is: subtrajectory balance has nothing to compare', async () => {
      const { loss, gradients, scores } = await learn(batchOf(prompt, [empty, empty]))
      expect(loss).toBe(0)
      expect(largest(gradients)).toBe(0)
      expect(scores).toHaveLength(2)
      expect(scores[0]).toEqual(scores[1])
    })

    test('may be all there is: trajectory balance learns ⊤ from them', async () => {
      const objective = { name: 'trajectory-balance', lambda: 1 } as const
      const batch = { prompt, latents: [empty, empty], logRewards: [[-4], [-6]], logPartition: -1 }
      const { loss, gradients, logPartitionGradient, scores } = await learn(batch, { objective })
      const residuals = [-4, -6].map((logReward) => logReward - scores[0].logStop[0] + 1)
      expect(loss).toBeCloseTo((residuals[0] ** 2 + residuals[1] ** 2) / 2, 3)
      expect(logPartitionGradient).toBeCloseTo(-residuals[0] - residuals[1], 4) // −2 · mean residual
      expect(largest(gradients)).toBeGreaterThan(1e-3)
    })
  })

  describe('the policy sums to exactly one over its support', () => {
    const allowed = [5, 17, 40]
    const bias = Float32Array.from({ length: 131 }, (_, token) => (allowed.includes(token) ? 0 : -Infinity))
    const upToThree = [0, 1, 2, 3].flatMap((length) => sequences(allowed, length))

    test.each([
      ['of up to three of three tokens', { stop: STOP, minTokens: 0, maxTokens: 3, bias }, upToThree],
      ['of two or three of three tokens', { stop: STOP, minTokens: 2, maxTokens: 3, bias }, upToThree],
      ['of exactly two of three tokens', { stop: STOP, minTokens: 2, maxTokens: 2, bias }, sequences(allowed, 2)],
      [
        'where ⊤ is among the allowed tokens',
        { stop: 5, minTokens: 0, maxTokens: 2, bias },
        sequencesUpTo([17, 40], 2),
      ],
      [
        'of at most one token of the vocabulary',
        { stop: STOP, minTokens: 0, maxTokens: 1 },
        [[], ...vocabularyBut(STOP)],
      ],
      ['of one token of the vocabulary', { stop: STOP, minTokens: 1, maxTokens: 1 }, vocabularyBut(STOP)],
    ] as [string, Support, number[][]][])('%s', async (_, support, latents) => {
      for (const policy of [undefined, adapter]) {
        const scores = await score(latents, support, policy)
        expect(Math.abs(sum(scores.map(({ logQ }) => Math.exp(logQ))) - 1)).toBeLessThan(1e-5)
        for (const [n, latent] of latents.entries()) checkEnd(scores[n], latent.length, support)
      }
    })

    test('and the learn step sees the same log q', async () => {
      const support = { stop: STOP, minTokens: 1, maxTokens: 3, bias }
      const latents = upToThree.filter(({ length }) => length > 0)
      const { scores } = await learn(batchOf(prompt, latents), { support })
      const alone = await score(latents, support, adapter)
      for (const [n, { logQ }] of scores.entries()) expect(logQ).toBeCloseTo(alone[n].logQ, 5)
    })
  })

  describe('tokens that a tool inserted', () => {
    const latents = [[5, 9, 40, 7], [17, 30, 6, 6, 20], [40], [8, 8, 3]]
    const inserted = [[1, 2], [3, 4], [], [1]]
    const actions = [[0, 3], [0, 1, 2], [0], [0, 2]] // the places of the others
    const states = [
      [0, 3, 4],
      [0, 1, 2, 5],
      [0, 1],
      [0, 2, 3],
    ] // where the latents may end, if they are long enough
    const support = { stop: STOP, minTokens: 0, maxTokens: 3, bias: forbidding(99) }
    const batch = { ...batchOf(prompt, latents), inserted }

    /** log q of every action and of ⊤ in every state, one pass each. */
    const naiveScores = (policy: LoraAdapter) =>
      lanes.use((lane) =>
        Promise.all(
          latents.map(async (latent, n) => {
            const logQ = async (prefix: number, token: number, mayStop = true) => {
              const text = [...prompt, ...latent.slice(0, prefix)]
              const logits = await textLogits(lane, { model, adapter: policy }, text)
              const bias = innerBias(support, 131)
              if (mayStop) bias[STOP] = 0
              const row = logits.subarray((text.length - 1) * 131)
              return row[token] - logSumExp(row.map((logit, i) => logit + bias[i]))
            }
            const tokens = await Promise.all(actions[n].map((place) => logQ(place, latent[place])))
            const stops = await Promise.all(
              states[n].map((prefix, k) => (k === support.maxTokens ? 0 : logQ(prefix, STOP))),
            )
            return { tokens, stops }
          }),
        ),
      )

    /** Each objective by its formula, over actions alone. */
    const naiveLoss = async ({ name, lambda }: ObjectiveConfig, policy: LoraAdapter): Promise<number> => {
      const scores = await naiveScores(policy)
      const u = scores.map(({ tokens, stops }, n) =>
        states[n].map((prefix, k) => batch.logRewards[n][prefix] - stops[k] - sum(tokens.slice(0, k))),
      )
      const ends = u.map((own) => own[own.length - 1])
      const pairs = u.flatMap((own) =>
        own.flatMap((a, i) => own.slice(i + 1).map((b, k) => ({ square: (a - b) ** 2, between: k }))),
      )
      const weighted = (weight: (between: number) => number) =>
        sum(pairs.map(({ square, between }) => weight(between) * square)) /
        sum(pairs.map(({ between }) => weight(between)))
      const formulas: Partial<Record<ObjectiveConfig['name'], () => number>> = {
        'subtrajectory-balance': () => weighted((between) => lambda ** between),
        'detailed-balance': () => weighted((between) => (between === 0 ? 1 : 0)),
        'trajectory-balance': () => sum(ends.map((end) => (end - batch.logPartition) ** 2)) / ends.length,
        'log-partition-variance': () => sum(ends.map((end) => (end - sum(ends) / ends.length) ** 2)) / ends.length,
        'maximum-likelihood': () =>
          -sum(scores.map(({ tokens, stops }) => sum(tokens) + stops[stops.length - 1])) / scores.length,
      }
      return formulas[name]?.() ?? Number.NaN
    }
    const known = every.filter(({ name }) => !['rooted-prefix-trajectory-balance', 'forward-kl'].includes(name))

    test('are no actions, and before them the latent cannot end', async () => {
      const { scores } = await learn(batch, { support })
      const naive = await naiveScores(adapter)
      for (const [n, { logTokens, logStop, logQ }] of scores.entries()) {
        for (const place of inserted[n]) {
          expect(logTokens[place]).toBe(0)
          expect(logStop[place]).toBe(-Infinity)
        }
        for (const [k, place] of actions[n].entries()) expect(logTokens[place]).toBeCloseTo(naive[n].tokens[k], 4)
        for (const [k, prefix] of states[n].entries()) expect(logStop[prefix]).toBeCloseTo(naive[n].stops[k], 4)
        expect(logQ).toBeCloseTo(sum(naive[n].tokens) + naive[n].stops[states[n].length - 1], 4)
      }
    })

    test.each(known)(
      '$name (λ = $lambda): the loss is that of a naive formula, and so is the gradient',
      async (objective) => {
        const { loss, gradients } = await learn(batch, { objective, support })
        expect(Math.abs(loss - (await naiveLoss(objective, adapter)))).toBeLessThan(1e-4 * Math.max(1, loss))
        const names = Object.keys(gradients)
        for (const key of [names[0], names[names.length - 1]]) {
          const slopes = gradients[key].data as Float32Array
          const k = slopes.reduce((best, value, i) => (Math.abs(value) > Math.abs(slopes[best]) ? i : best), 0)
          const at = (delta: number) => naiveLoss(objective, moved(adapter, key, k, delta))
          const difference = async (step: number) => ((await at(step)) - (await at(-step))) / (2 * step)
          const slope = (4 * (await difference(0.01)) - (await difference(0.02))) / 3
          expect(Math.abs(slopes[k] - slope), `${key}[${k}]: ${slopes[k]} against ${slope}`).toBeLessThan(
            2e-3 * Math.max(1, Math.abs(slope)),
          )
          expect(Math.abs(slope)).toBeGreaterThan(0.05)
        }
      },
    )

    test('have no gradient of their own: other log-rewards where they stand change nothing', async () => {
      const spoilt = batch.logRewards.map((row, n) =>
        Array.from(row, (value, prefix) => (inserted[n].includes(prefix) ? Number.NaN : value)),
      )
      expect(await learn({ ...batch, logRewards: spoilt }, { support })).toEqual(await learn(batch, { support }))
    })
  })

  test.each(every)('$name (λ = $lambda): the gradient is that of finite differences', async (objective) => {
    const batch = batchOf(prompt, [[5, 9], [17, 30, 6], [40]])
    const support = { stop: STOP, minTokens: 1, maxTokens: 3, bias: forbidding(99) }
    const { gradients } = await learn(batch, { objective, support })
    const names = Object.keys(gradients)
    for (const key of [names[0], names[1], names[names.length - 2], names[names.length - 1]]) {
      const slopes = gradients[key].data as Float32Array
      const k = slopes.reduce((best, value, i) => (Math.abs(value) > Math.abs(slopes[best]) ? i : best), 0)
      const at = async (delta: number) =>
        (await learn(batch, { objective, support, adapter: moved(adapter, key, k, delta) })).loss
      // Two steps extrapolated to none: what is left is rounding of the loss, about 1e-6 of it
      const difference = async (step: number) => ((await at(step)) - (await at(-step))) / (2 * step)
      const slope = (4 * (await difference(0.01)) - (await difference(0.02))) / 3
      expect(Math.abs(slopes[k] - slope), `${key}[${k}]: ${slopes[k]} against ${slope}`).toBeLessThan(
        2e-3 * Math.max(1, Math.abs(slope)),
      )
      expect(Math.abs(slope)).toBeGreaterThan(0.05)
    }
  })
})

type Alter = (inputs: Record<string, HostTensor>) => Record<string, HostTensor>

/** A lane whose programs are given other inputs than the caller gave. */
const altering = (lane: Lane, alter: Alter): Lane =>
  wrapRuns(
    lane,
    (run) =>
      (inputs, ...where) =>
        run(alter(inputs as Record<string, HostTensor>), ...where),
  )

/** No prefix of a latent is a state of the objective. */
const unseen =
  (latent: number): Alter =>
  (inputs) => {
    const without = (mask: HostTensor): HostTensor => ({
      ...mask,
      data: (mask.data as Uint8Array).map((value, i) => (Math.floor(i / mask.shape[1]) === latent ? 0 : value)),
    })
    const { terminable, terminal, weight } = inputs
    return { ...inputs, terminable: without(terminable), terminal: without(terminal), weight: without(weight) }
  }

/** Latents with irregular log-rewards. */
const batchOf = (
  prompt: readonly number[],
  latents: readonly (readonly number[])[],
): LearnBatch & Required<Pick<LearnBatch, 'logRewards' | 'logPartition'>> => ({
  prompt,
  latents,
  logRewards: latents.map((latent, n) =>
    Array.from({ length: latent.length + 1 }, (_, i) => -12 + 5 * Math.sin(3 * n + 7 * i)),
  ),
  logPartition: -3,
})

/** Where ⊤ is impossible, forced and free. */
function checkEnd({ logStop, logQ }: PolicyScore, length: number, { minTokens, maxTokens }: Support) {
  expect(logStop).toHaveLength(length + 1)
  for (const [prefix, value] of logStop.entries())
    if (prefix < minTokens) expect(value).toBe(-Infinity)
    else if (prefix === maxTokens) expect(value).toBe(0)
    else expect(value).toBeLessThan(0)
  if (length < minTokens) expect(logQ).toBe(-Infinity)
}

/** All sequences of a length. */
const sequences = (tokens: readonly number[], length: number): number[][] =>
  length === 0 ? [[]] : sequences(tokens, length - 1).flatMap((start) => tokens.map((token) => [...start, token]))
const sequencesUpTo = (tokens: readonly number[], longest: number) =>
  Array.from({ length: longest + 1 }, (_, length) => sequences(tokens, length)).flat()
const vocabularyBut = (token: number) => Array.from({ length: 131 }, (_, i) => [i]).filter(([i]) => i !== token)
const forbidding = (token: number) => Float32Array.from({ length: 131 }, (_, i) => (i === token ? -Infinity : 0))

const moved = ({ config, weights }: LoraAdapter, name: string, k: number, delta: number): LoraAdapter => {
  const data = Float32Array.from(weights[name].data as Float32Array)
  data[k] += delta
  return { config, weights: { ...weights, [name]: { ...weights[name], data } } }
}

const sum = (values: readonly number[]) => values.reduce((a, b) => a + b, 0)
const largest = (tensors: NamedTensors) =>
  Math.max(...Object.values(tensors).map(({ data }) => Math.max(...Array.from(data as Float32Array, Math.abs))))
const distance = (a: NamedTensors, b: NamedTensors) =>
  Math.max(
    ...Object.entries(a).map(([name, { data }]) =>
      Math.max(...Array.from(data as Float32Array, (value, i) => Math.abs(value - Number(b[name].data[i])))),
    ),
  )

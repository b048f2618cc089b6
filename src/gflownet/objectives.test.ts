import { readFileSync } from 'node:fs'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { seededRandom } from '../random.ts'
import { bool, float32, type HostTensor, type NamedTensors } from '../runtime/host-tensor.ts'
import { openRuntime } from '../runtime/node.ts'
import type { Runtime } from '../runtime/session.ts'
import { gradients } from '../tensor/gradient.ts'
import { buildProgram } from '../tensor/program.ts'
import type { Tensor, TensorType } from '../tensor/tensor.ts'
import { knownEstimates, type PrefixLogProbabilities } from './objective.ts'
import { type ObjectiveConfig, objectiveNames, objectiveOf, readsPrefixes } from './objectives.ts'
import { allPairs, decayedPairs } from './subtrajectory-balance.ts'

const TOLERANCE = 2e-5 // relative; float32 sums of about 50 squares

/** What is known of the trajectories of one prompt; `tokens[n]` and `stops[n]` have a value for every token and prefix. */
type Trajectories = {
  lengths: readonly number[]
  logTokens: readonly (readonly number[])[]
  logStops: readonly (readonly number[])[]
  logRewards: readonly (readonly number[])[]
  logPartition?: number
  /** Which prefixes of every trajectory are terminal states; all if absent. */
  mayEnd?: (prefix: number) => boolean
  rootTerminable?: boolean
  /** What each terminal state counts for; 1 if absent. */
  weightOf?: (trajectory: number, prefix: number) => number
  /** What stands in the cells after a trajectory's end. */
  padding?: number
}

let runtime: Runtime
beforeAll(() => {
  runtime = openRuntime({ threads: 1 })
})
afterAll(() => runtime.dispose())

const grid: TensorType = { dtype: 'float32', shape: ['samples', 'prefixes'] }
const yesNo: TensorType = { dtype: 'bool', shape: ['samples', 'prefixes'] }
const types: Record<string, TensorType> = {
  logReward: grid,
  logStop: grid,
  logPrefix: grid,
  terminable: yesNo,
  terminal: yesNo,
  weight: grid,
  logPartition: { dtype: 'float32', shape: [] },
}

/** Runs a small program over what an objective is given. */
async function evaluate(
  { rootTerminable = true, ...trajectories }: Trajectories,
  build: (known: PrefixLogProbabilities, inputs: Record<string, Tensor>) => Record<string, Tensor>,
): Promise<NamedTensors> {
  const program = buildProgram('objective', types, (inputs) =>
    build({ ...(inputs as Omit<PrefixLogProbabilities, 'rootTerminable'>), rootTerminable }, inputs),
  )
  const session = await runtime.open(program)
  const { outputs } = await session.run(feedsOf(trajectories))
  await session.dispose()
  return outputs
}

function feedsOf({
  lengths,
  logTokens,
  logStops,
  logRewards,
  logPartition = 0,
  mayEnd = () => true,
  weightOf = () => 1,
  padding = 0,
}: Trajectories): Record<string, HostTensor> {
  const prefixes = Math.max(...lengths) + 1
  const shape = [lengths.length, prefixes]
  const cells = <T>(of: (n: number, i: number) => T, outside: T) =>
    lengths.flatMap((length, n) => Array.from({ length: prefixes }, (_, i) => (i <= length ? of(n, i) : outside)))
  return {
    logReward: float32(
      shape,
      cells((n, i) => (mayEnd(i) ? logRewards[n][i] : padding), padding),
    ),
    logStop: float32(
      shape,
      cells((n, i) => logStops[n][i], padding),
    ),
    logPrefix: float32(
      shape,
      cells((n, i) => sum(logTokens[n].slice(0, i)), padding),
    ),
    terminable: bool(
      shape,
      cells((_, i) => mayEnd(i), false),
    ),
    terminal: bool(
      shape,
      cells((n, i) => i === lengths[n] && mayEnd(i), false),
    ),
    weight: float32(
      shape,
      cells((n, i) => (mayEnd(i) ? weightOf(n, i) : 0), 0),
    ),
    logPartition: float32([], [logPartition]),
  }
}

const lossOf = async (trajectories: Trajectories, config: ObjectiveConfig) =>
  Number((await evaluate(trajectories, (known) => ({ loss: objectiveOf(config)(known) }))).loss.data[0])

/** Loss, and its slope in every input that the objective reads. */
async function lossAndSlopes(trajectories: Trajectories, config: ObjectiveConfig) {
  const outputs = await evaluate(trajectories, (known, inputs) => {
    const loss = objectiveOf(config)(known)
    const variables = variablesOf(config)
    const slopes = gradients(
      loss,
      variables.map((name) => inputs[name]),
    )
    return { loss, ...Object.fromEntries(variables.map((name, i) => [`d_${name}`, slopes[i]])) }
  })
  const { loss, ...slopes } = outputs
  return { loss: Number(loss.data[0]), slopes: slopes as Record<string, HostTensor> }
}

/** The objectives that compare with a learned log Z(X). */
const learnsLogPartition: ObjectiveConfig['name'][] = ['trajectory-balance', 'rooted-prefix-trajectory-balance']

const variablesOf = ({ name }: ObjectiveConfig) => [
  'logReward',
  'logStop',
  'logPrefix',
  ...(learnsLogPartition.includes(name) ? ['logPartition'] : []),
]

const sum = (values: readonly number[]) => values.reduce((a, b) => a + b, 0)
const mean = (values: readonly number[]) => sum(values) / values.length
const column = ({ data }: HostTensor) => Array.from(data as Float32Array)

function close(actual: readonly number[], wanted: readonly number[]) {
  expect(actual.length).toBe(wanted.length)
  for (const [i, value] of wanted.entries())
    expect(Math.abs(actual[i] - value), `${actual[i]} against ${value}`).toBeLessThan(
      TOLERANCE * Math.max(1, Math.abs(value)),
    )
}

const golden = JSON.parse(readFileSync(new URL('../../test/golden/objectives.json', import.meta.url), 'utf8')) as {
  lambda: number
  lengths: number[]
  log_pf: number[][]
  log_pterm: number[][]
  log_reward: number[][]
  subtb_per_sample: number[]
  tb_per_sample_with_logZ_minus_10: number[]
  vargrad_mean: number
  db_per_sample: number[]
}[]

const trajectoriesOf = ({ lengths, log_pf, log_pterm, log_reward }: (typeof golden)[number]): Trajectories => ({
  lengths,
  logTokens: log_pf,
  logStops: log_pterm,
  logRewards: log_reward,
})

/** The n-th trajectory alone. */
const only = (all: Trajectories, n: number): Trajectories => ({
  ...all,
  lengths: [all.lengths[n]],
  logTokens: [all.logTokens[n]],
  logStops: [all.logStops[n]],
  logRewards: [all.logRewards[n]],
})

/** u_i of one trajectory by the paper's definition, in double precision; undefined where it may not end. */
function estimates({ logTokens, logStops, logRewards, lengths, mayEnd = () => true }: Trajectories, n: number) {
  return Array.from({ length: lengths[n] + 1 }, (_, i) =>
    mayEnd(i) ? logRewards[n][i] - logStops[n][i] - sum(logTokens[n].slice(0, i)) : undefined,
  )
}

/** Equation 3 of one trajectory as it is written: pair by pair. */
function pairwise(u: readonly (number | undefined)[], lambda: number) {
  let [total, weight] = [0, 0]
  for (const [i, a] of u.entries())
    for (const [j, b] of u.entries())
      if (i < j && a !== undefined && b !== undefined) {
        total += lambda ** (j - i - 1) * (a - b) ** 2
        weight += lambda ** (j - i - 1)
      }
  return { total, weight }
}

describe.each(golden)('with λ = $lambda the golden values come out', (expected) => {
  const all = trajectoriesOf(expected)
  const { lambda, lengths } = expected

  test('of subtrajectory balance, trajectory by trajectory', async () => {
    const { sums, weights } = await evaluate(all, (known) => {
      const u = knownEstimates(known)
      const pairs = lambda === 1 ? allPairs(u, known) : decayedPairs(u, known, lambda)
      return { sums: pairs.sum, weights: pairs.weight }
    })
    close(column(sums), expected.subtb_per_sample)
    close(
      column(weights),
      lengths.map((_, n) => pairwise(estimates(all, n), lambda).weight),
    )
  })

  test('of subtrajectory balance as a loss: the sum over trajectories divided by the weight of all pairs', async () => {
    const weights = lengths.map((_, n) => pairwise(estimates(all, n), lambda).weight)
    const wanted = sum(expected.subtb_per_sample) / sum(weights)
    close([await lossOf(all, { name: 'subtrajectory-balance', lambda })], [wanted])
  })

  test('of trajectory balance with log Z = −10', async () => {
    const config = { name: 'trajectory-balance', lambda } as const
    const withPartition = { ...all, logPartition: -10 }
    const losses = await Promise.all(lengths.map((_, n) => lossOf(only(withPartition, n), config)))
    close(losses, expected.tb_per_sample_with_logZ_minus_10)
    close([await lossOf(withPartition, config)], [mean(expected.tb_per_sample_with_logZ_minus_10)])
  })

  test('of the variance form', async () => {
    close([await lossOf(all, { name: 'log-partition-variance', lambda })], [expected.vargrad_mean])
  })

  test('of detailed balance', async () => {
    const config = { name: 'detailed-balance', lambda } as const
    const losses = await Promise.all(lengths.map((_, n) => lossOf(only(all, n), config)))
    close(
      losses.map((loss, n) => loss * Math.max(1, lengths[n])),
      expected.db_per_sample,
    )
    close([await lossOf(all, config)], [sum(expected.db_per_sample) / sum(lengths)])
  })
})

const random = seededRandom(7)
/** Six trajectories of irregular numbers. */
function irregular(name: string, shortest = 0): Trajectories {
  const draws = random.at(name)
  const lengths = [4, shortest, 6, 1, 3, 6]
  const values = (scale: number, offset: number) =>
    lengths.map((length) => Array.from({ length: length + 1 }, () => draws.normal() * scale + offset))
  return { lengths, logTokens: values(1, -2), logStops: values(1, -3), logRewards: values(3, -12), logPartition: -6 }
}

test.each([1, 0.9])('with λ = %s only terminal states count, also where others lie between them', async (lambda) => {
  const all = { ...irregular('gaps'), mayEnd: (prefix: number) => prefix % 3 !== 1, padding: 1e6 }
  const { sums, weights } = await evaluate(all, (known) => {
    const u = knownEstimates(known)
    const pairs = lambda === 1 ? allPairs(u, known) : decayedPairs(u, known, lambda)
    return { sums: pairs.sum, weights: pairs.weight }
  })
  const wanted = all.lengths.map((_, n) => pairwise(estimates(all, n), lambda))
  close(
    column(sums),
    wanted.map(({ total }) => total),
  )
  close(
    column(weights),
    wanted.map(({ weight }) => weight),
  )
})

test('the closed form of λ = 1 equals the pairwise one', async () => {
  const outputs = await evaluate(irregular('closed form'), (known) => {
    const u = knownEstimates(known)
    const [closed, pairs] = [allPairs(u, known), decayedPairs(u, known, 1)]
    return { closed: closed.sum, pairs: pairs.sum, closedWeight: closed.weight, pairsWeight: pairs.weight }
  })
  expect(Math.max(...column(outputs.pairs))).toBeGreaterThan(100)
  close(column(outputs.closed), column(outputs.pairs))
  expect(column(outputs.closedWeight)).toEqual(column(outputs.pairsWeight))
})

const configs: ObjectiveConfig[] = [
  ...objectiveNames.map((name) => ({ name, lambda: 1 })),
  { name: 'subtrajectory-balance', lambda: 0.8 },
]

/** Objectives that read the rewards of prefixes, and not only of whole latents. */
const ofPrefixes = configs.filter(({ name }) => readsPrefixes(name))

test('objectives are told apart by whether they read the rewards of prefixes', async () => {
  const all = irregular('inner rewards')
  const other = {
    ...all,
    logRewards: all.logRewards.map((row, n) => row.map((r, i) => (i < all.lengths[n] ? r + 1 + i : r))),
  }
  for (const config of configs)
    expect((await lossOf(all, config)) !== (await lossOf(other, config)), config.name).toBe(readsPrefixes(config.name))
})

test.each(ofPrefixes)('$name (λ = $lambda) of random inner prefixes is on average that of all', async (config) => {
  const chance = 0.4
  const all = { ...irregular('subsets', 4), lengths: [3, 4] }
  const inner = [...[1, 2].map((i) => [0, i]), ...[1, 2, 3].map((i) => [1, i])]
  let [loss, slopes] = [0, [] as number[]]
  for (let subset = 0; subset < 2 ** inner.length; subset++) {
    const isIn = (k: number) => ((subset >> k) & 1) === 1
    const probability = inner.reduce((product, _, k) => product * (isIn(k) ? chance : 1 - chance), 1)
    const weightOf = (n: number, i: number) => {
      const k = inner.findIndex(([trajectory, prefix]) => trajectory === n && prefix === i)
      return k < 0 ? 1 : isIn(k) ? 1 / chance : 0
    }
    const result = await lossAndSlopes({ ...all, weightOf }, config)
    loss += probability * result.loss
    const own = Object.values(result.slopes).flatMap(column)
    slopes = own.map((slope, k) => (slopes[k] ?? 0) + probability * slope)
  }
  const whole = await lossAndSlopes(all, config)
  close([loss], [whole.loss])
  close(slopes, Object.values(whole.slopes).flatMap(column))
})

describe.each(configs)('$name (λ = $lambda)', (config) => {
  const comparesWithPartition = learnsLogPartition.includes(config.name)

  test.each([true, false])(
    'has the gradient of finite differences (empty latent allowed: %s)',
    async (rootTerminable) => {
      const allowed = (prefix: number) => rootTerminable || prefix > 0
      const all = { ...irregular('slopes', rootTerminable ? 0 : 1), rootTerminable, mayEnd: allowed }
      const feeds = feedsOf(all)
      const { slopes } = await lossAndSlopes(all, config)
      const program = buildProgram('loss', types, (inputs) => ({
        loss: objectiveOf(config)({ ...(inputs as Omit<PrefixLogProbabilities, 'rootTerminable'>), rootTerminable }),
      }))
      const session = await runtime.open(program)
      // All but one are quadratic in what they read, so that central differences are exact whatever the step.
      const size = config.name === 'forward-kl' ? 0.03 : 1
      const at = async (name: string, k: number, delta: number) => {
        const data = Float32Array.from(feeds[name].data as Float32Array)
        data[k] += delta
        const { outputs } = await session.run({ ...feeds, [name]: { ...feeds[name], data } })
        return Number(outputs.loss.data[0])
      }
      let largest = 0
      for (const name of variablesOf(config))
        for (const [k, slope] of column(slopes[`d_${name}`]).entries()) {
          const difference = ((await at(name, k, size)) - (await at(name, k, -size))) / (2 * size)
          expect(Math.abs(slope - difference), `${name}[${k}]: ${slope} against ${difference}`).toBeLessThan(2e-4)
          largest = Math.max(largest, Math.abs(slope))
        }
      expect(largest).toBeGreaterThan(0.1)
      await session.dispose()
    },
  )

  test('a constant added to every log-reward moves log Z and nothing else', async () => {
    const all = irregular('shift')
    const shifted = { ...all, logRewards: all.logRewards.map((values) => values.map((value) => value + 8)) }
    const [plain, moved] = [await lossAndSlopes(all, config), await lossAndSlopes(shifted, config)]
    if (comparesWithPartition) {
      expect(Math.abs(moved.loss - plain.loss)).toBeGreaterThan(1)
      const followed = await lossAndSlopes({ ...shifted, logPartition: all.logPartition! + 8 }, config)
      close([followed.loss], [plain.loss])
      close(column(followed.slopes.d_logPrefix), column(plain.slopes.d_logPrefix))
    } else {
      expect(plain.loss).toBeGreaterThan(1)
      close([moved.loss], [plain.loss])
      close(column(moved.slopes.d_logPrefix), column(plain.slopes.d_logPrefix))
    }
  })

  test('what stands in the padding changes no bit of the loss or of any gradient', async () => {
    const all = irregular('padding')
    const clean = await lossAndSlopes({ ...all, padding: 0 }, config)
    for (const padding of [-1e30, Number.NaN, Number.NEGATIVE_INFINITY])
      expect(await lossAndSlopes({ ...all, padding }, config)).toEqual(clean)
  })

  test('a trajectory that may end nowhere counts for nothing', async () => {
    const mayEnd = (prefix: number) => prefix > 1
    const all = { ...irregular('too short'), mayEnd, rootTerminable: false } // the second and fourth are too short
    const enough = { ...all }
    for (const key of ['lengths', 'logTokens', 'logStops', 'logRewards'] as const)
      Object.assign(enough, { [key]: all[key].filter((_, n) => all.lengths[n] > 1) })
    expect(enough.lengths).toHaveLength(4)
    const loss = await lossOf(enough, config)
    expect(loss).toBeGreaterThan(1)
    close([await lossOf(all, config)], [loss])
  })

  test('is zero, and no NaN, where nothing can be compared', async () => {
    const empty = { lengths: [0], logTokens: [[]], logStops: [[-3]], logRewards: [[-5]], logPartition: -2 }
    const { loss, slopes } = await lossAndSlopes(empty, config)
    expect(loss).toBe(0) // −5 + 3 = log Z, where it is learned
    for (const slope of Object.values(slopes)) for (const value of column(slope)) expect(Math.abs(value)).toBe(0)
  })

  test('is zero where all estimates of log Z agree', async () => {
    const all = irregular('agreement')
    const logRewards = all.logStops.map((stops, n) => stops.map((s, i) => s + sum(all.logTokens[n].slice(0, i)) - 6))
    expect(await lossOf({ ...all, logRewards }, config)).toBeLessThan(1e-10)
  })
})

describe('where the empty latent is not allowed', () => {
  /** u is 1 along the first trajectory and 4 along the second: each agrees with itself, but not with the other. */
  const apart: Trajectories = {
    lengths: [2, 3],
    logTokens: [
      [-1, -2],
      [-3, -1, -1],
    ],
    logStops: [
      [-9, -2, -2],
      [-9, -2, -2, -2],
    ],
    logRewards: [
      [-99, -2, -4],
      [-99, -1, -2, -3],
    ],
    mayEnd: (prefix) => prefix > 0,
  }
  const u = [1, 1, 4, 4, 4] // every terminal state of both
  const aroundMean = sum(u.map((value) => (value - mean(u)) ** 2))

  test.each([
    // pairs of one's own: 1 + 3, and 5 with the mean; λ = 0.5 gives the pair two apart half a vote
    ['subtrajectory-balance', 1, aroundMean / (1 + 3 + 5)],
    ['subtrajectory-balance', 0.5, aroundMean / (1 + 2.5 + 5)],
    ['detailed-balance', 1, aroundMean / (1 + 2 + 5)],
  ] as const)('%s (λ = %s) compares trajectories through the mean of their estimates', async (name, lambda, wanted) => {
    close([await lossOf({ ...apart, rootTerminable: false }, { name, lambda })], [wanted])
    expect(await lossOf({ ...apart, rootTerminable: true }, { name, lambda })).toBe(0) // nothing else would compare them
  })
})

test('rooted-prefix trajectory balance is the mean over all terminal states of (u − log Z)²', async () => {
  const all = { ...irregular('rooted'), mayEnd: (prefix: number) => prefix !== 2, padding: 1e6 }
  const residuals = all.lengths
    .flatMap((_, n) => estimates(all, n))
    .flatMap((u) => (u === undefined ? [] : [(u - all.logPartition!) ** 2]))
  expect(residuals).toHaveLength(22) // 26 prefixes, four of which may not end
  close([await lossOf(all, { name: 'rooted-prefix-trajectory-balance', lambda: 1 })], [mean(residuals)])
})

describe('forward KL', () => {
  const config = { name: 'forward-kl', lambda: 1 } as const
  const ends = (all: Trajectories) => all.lengths.map((length, n) => estimates(all, n)[length]!)

  test('is log mean exp − mean of the estimates at the ends', async () => {
    const all = irregular('forward')
    const u = ends(all)
    close([await lossOf(all, config)], [Math.log(mean(u.map(Math.exp))) - mean(u)])
  })

  test('has the gradient of weighted maximum likelihood less that of the unweighted one', async () => {
    const all = irregular('weights')
    const weights = ends(all).map(Math.exp)
    const wanted = weights.map((weight) => 1 / weights.length - weight / sum(weights)) // of log q of each whole latent
    const prefixes = Math.max(...all.lengths) + 1
    const { d_logPrefix, d_logStop } = (await lossAndSlopes(all, config)).slopes
    for (const slopes of [column(d_logPrefix), column(d_logStop)]) {
      close(
        all.lengths.map((length, n) => slopes[n * prefixes + length]),
        wanted,
      )
      expect(slopes.filter((slope) => slope !== 0)).toHaveLength(all.lengths.length)
    }
  })

  test('is zero, and no NaN, where no trajectory has ended', async () => {
    const all = { ...irregular('endless'), mayEnd: () => false, rootTerminable: false }
    const { loss, slopes } = await lossAndSlopes(all, config)
    expect(loss).toBe(0)
    for (const slope of Object.values(slopes)) for (const value of column(slope)) expect(Math.abs(value)).toBe(0)
  })
})

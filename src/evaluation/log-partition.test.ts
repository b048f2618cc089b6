import { expect, test } from 'vitest'
import { type Draws, seededRandom } from '../random.ts'
import { estimateLogPartition, klToPosterior, logWeights, mixtureLogWeights } from './log-partition.ts'

/** A world of five latents. Z = 10; one latent has reward zero. */
const reward = [5, 0, 3, 1.5, 0.5]
const logReward = reward.map(Math.log)
const LOG_Z = Math.log(10)
const broad = [0.2, 0.2, 0.2, 0.2, 0.2]
const narrow = [0.7, 0, 0.3, 0, 0] // misses a fifth of the posterior
const good = [0.4, 0, 0.35, 0.2, 0.05]

const at = <T>(values: readonly T[], latents: readonly number[]) => latents.map((latent) => values[latent])
const logOf = (q: readonly number[]) => q.map(Math.log)

function sample(q: readonly number[], count: number, draws: Draws): number[] {
  return Array.from({ length: count }, () => {
    let left = draws.uniform()
    return q.findIndex((probability) => {
      left -= probability
      return left < 0
    })
  })
}

const weightsOf = (q: readonly number[], latents: readonly number[]) =>
  logWeights({ logReward: at(logReward, latents), logSampler: at(logOf(q), latents) })

test('a perfect sampler has a log Z without error, from any sample, and divergence zero', () => {
  const posterior = reward.map((r) => r / 10)
  const weights = weightsOf(posterior, sample(posterior, 12, seededRandom(1).at('samples')))
  const { logZ, effectiveSamples, effectiveFraction } = estimateLogPartition(weights)
  expect(logZ.value).toBeCloseTo(LOG_Z, 14)
  expect(logZ.standardError).toBeLessThan(1e-14)
  expect(effectiveSamples).toBeCloseTo(12, 12)
  expect(effectiveFraction).toBeCloseTo(1, 12)
  expect(klToPosterior(weights).value).toBeCloseTo(0, 14)
})

test('the estimate, its error and the effective sample size are those of the textbook formulas', () => {
  const weights = [1, 3, 0, 4]
  const { logZ, samples, effectiveSamples, effectiveFraction } = estimateLogPartition(weights.map(Math.log))
  const variance = (1 + 1 + 4 + 4) / 3 // about the mean, 2
  expect(logZ.value).toBeCloseTo(Math.log(2), 14)
  expect(logZ.standardError).toBeCloseTo(Math.sqrt(variance / 4) / 2, 14)
  expect([samples, effectiveSamples, effectiveFraction]).toEqual([4, expect.closeTo(64 / 26), expect.closeTo(16 / 26)])
})

test('a sample of reward zero counts as a sample and adds nothing', () => {
  expect(estimateLogPartition([0, 0, -Infinity, -Infinity]).logZ.value).toBeCloseTo(Math.log(0.5), 14)
  expect(estimateLogPartition([-Infinity, -Infinity])).toEqual({
    logZ: { value: -Infinity, standardError: Number.NaN },
    samples: 2,
    effectiveSamples: 0,
    effectiveFraction: 0,
  })
})

test('log weights far outside the range of a double shift log Z and change nothing else', () => {
  const shifted = estimateLogPartition([-5000, -5001, -5003])
  const plain = estimateLogPartition([0, -1, -3])
  expect(shifted.logZ.value).toBeCloseTo(plain.logZ.value - 5000, 10)
  expect(shifted.logZ.standardError).toBeCloseTo(plain.logZ.standardError, 10)
  expect(shifted.effectiveSamples).toBeCloseTo(plain.effectiveSamples, 10)
})

test('the standard error is the spread of log Z over repetitions', () => {
  const repetitions = Array.from({ length: 600 }, (_, repetition) => {
    const latents = sample(broad, 200, seededRandom(repetition).at('samples'))
    return estimateLogPartition(weightsOf(broad, latents)).logZ
  })
  const { mean, deviation } = spread(repetitions.map(({ value }) => value))
  const claimed = spread(repetitions.map(({ standardError }) => standardError)).mean
  expect(Math.abs(mean - LOG_Z)).toBeLessThan((4 * deviation) / Math.sqrt(600) + deviation ** 2) // and the bias of a log
  expect(claimed / deviation).toBeGreaterThan(0.88) // a deviation of 600 values is known to 3 %
  expect(claimed / deviation).toBeLessThan(1.12)
})

test('the weights of a mixture average to Z exactly, though one of its samplers misses a part', () => {
  const weights = mixtureLogWeights({ logReward, logSamplers: [logOf(narrow), logOf(broad)], counts: [3, 2] })
  const expectation = weights.reduce(
    (sum, weight, latent) => sum + (0.6 * narrow[latent] + 0.4 * broad[latent]) * Math.exp(weight),
    0,
  )
  expect(expectation).toBeCloseTo(10, 12)
})

test('log Z of a mixture is right within its error where the narrow sampler alone is wrong', () => {
  const draws = seededRandom(5).at('mixture')
  const [fromNarrow, fromBroad] = [sample(narrow, 3000, draws), sample(broad, 1000, draws)]
  const latents = [...fromNarrow, ...fromBroad]
  const mixed = estimateLogPartition(
    mixtureLogWeights({
      logReward: at(logReward, latents),
      logSamplers: [at(logOf(narrow), latents), at(logOf(broad), latents)],
      counts: [3000, 1000],
    }),
  ).logZ
  const alone = estimateLogPartition(weightsOf(narrow, fromNarrow)).logZ
  expect(Math.abs(mixed.value - LOG_Z)).toBeLessThan(4 * mixed.standardError)
  expect(Math.abs(alone.value - Math.log(8))).toBeLessThan(4 * alone.standardError) // it cannot see the other fifth
})

test('a mixture of one sampler with itself is that sampler', () => {
  const latents = [0, 2, 0, 3, 4]
  const own = logOf(good)
  const mixed = mixtureLogWeights({
    logReward: at(logReward, latents),
    logSamplers: [at(own, latents), at(own, latents)],
    counts: [2, 3],
  })
  for (const [i, weight] of weightsOf(good, latents).entries()) expect(mixed[i]).toBeCloseTo(weight, 14)
})

test('counts that do not add up to the samples are refused', () => {
  const wrong = () => mixtureLogWeights({ logReward: [0, 0], logSamplers: [[0, 0]], counts: [3] })
  expect(wrong).toThrow('counts add up to 3, but there are 2 samples')
})

test('the divergence from the posterior is right within its error, with its own log Z and with a given one', () => {
  const exact = good.reduce((sum, q, latent) => (q === 0 ? sum : sum + q * Math.log((q * 10) / reward[latent])), 0)
  const weights = weightsOf(good, sample(good, 4000, seededRandom(2).at('kl')))
  const own = klToPosterior(weights)
  const given = klToPosterior(weights, { value: LOG_Z, standardError: 0 })
  expect(exact).toBeGreaterThan(0.015)
  for (const { value, standardError } of [own, given]) {
    expect(Math.abs(value - exact)).toBeLessThan(4 * standardError)
    expect(standardError).toBeLessThan(0.01)
  }
  const uncertain = klToPosterior(weights, { value: LOG_Z, standardError: 0.03 })
  expect(uncertain.standardError).toBeCloseTo(Math.hypot(given.standardError, 0.03), 14)
})

test('the error of a divergence with its own log Z is its spread over repetitions', () => {
  const repetitions = Array.from({ length: 600 }, (_, repetition) =>
    klToPosterior(weightsOf(good, sample(good, 200, seededRandom(repetition).at('kl')))),
  )
  const { deviation } = spread(repetitions.map(({ value }) => value))
  const claimed = spread(repetitions.map(({ standardError }) => standardError)).mean
  expect(claimed / deviation).toBeGreaterThan(0.85)
  expect(claimed / deviation).toBeLessThan(1.15)
})

test('a sampler that gives latents of reward zero diverges infinitely', () => {
  expect(klToPosterior([0, -Infinity, 1])).toEqual({ value: Infinity, standardError: Number.NaN })
})

function spread(values: number[]) {
  const mean = values.reduce((sum, value) => sum + value, 0) / values.length
  const variance = values.reduce((sum, value) => sum + (value - mean) ** 2, 0) / (values.length - 1)
  return { mean, deviation: Math.sqrt(variance) }
}

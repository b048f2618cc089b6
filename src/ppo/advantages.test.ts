import { describe, expect, test } from 'vitest'
import { actionRewards, actionTargets, divergenceOf, generalisedAdvantages } from './advantages.ts'

const close = (actual: readonly number[], wanted: readonly number[]) => {
  expect(actual).toHaveLength(wanted.length)
  for (const [k, value] of wanted.entries()) expect(actual[k]).toBeCloseTo(value, 7)
}

const sampled = { logQ: [-1, -0.5, -0.25], logReference: [-2, -0.25, -0.25], logReward: -7 }

test('every action pays β (log q − log p_ref), and the last one earns log R', () => {
  close(actionRewards(sampled, 0.2), [-0.2 * 1, -0.2 * -0.25, -7])
  close(actionRewards(sampled, 0), [0, 0, -7])
  expect(divergenceOf(sampled)).toBeCloseTo(0.75, 12)
})

describe('generalised advantages', () => {
  const rewards = [1, 0, -2]
  const values = [0.5, 1, -1]
  // surprises by hand, with γ = 0.5: 1 + 0.5·1 − 0.5, 0 + 0.5·(−1) − 1, −2 − (−1)
  const surprises = [1, -1.5, -1]

  test('are surprises, discounted by γ λ', () => {
    const decay = 0.5 * 0.8
    const wanted = [1 + decay * (-1.5 + decay * -1), -1.5 + decay * -1, -1]
    close(generalisedAdvantages(rewards, values, { discount: 0.5, lambda: 0.8 }), wanted)
  })

  test('with λ = 0 are the surprises, with γ = λ = 1 what came after less what was expected', () => {
    close(generalisedAdvantages(rewards, values, { discount: 0.5, lambda: 0 }), surprises)
    close(generalisedAdvantages(rewards, values, { discount: 1, lambda: 1 }), [-1 - 0.5, -2 - 1, -2 - -1])
  })
})

describe('what the latents of a prompt are to learn', () => {
  const samples = [
    { logQ: [-1, -1], logReference: [-2, -1], values: [0.5, 1], logReward: -2 },
    { logQ: [-3], logReference: [-1], values: [-1], logReward: -6 },
  ]
  // log R less its mean of −4: 2 and −2. With β = 0.5 the first latent pays 0.5 and 0, the second earns 1.
  const settings = { discount: 1, lambda: 1, whiten: false }

  test('with a value head: advantages over what it expected, and returns for it to learn', () => {
    const [first, second] = actionTargets(samples, 0.5, { ...settings, baseline: 'value-head' })
    close(first.advantages, [-0.5 + 2 - 0.5, 2 - 1])
    close(first.returns!, [1.5, 2])
    close(second.advantages, [-2 + 1 + 1])
    close(second.returns!, [-1])
  })

  test('whitened: of mean 0 and deviation 1 over all actions; returns stay as they are', () => {
    const targets = actionTargets(samples, 0.5, { ...settings, whiten: true, baseline: 'value-head' })
    const spread = Math.sqrt(2 / 9) // of 1, 1, 0
    close(
      targets.flatMap(({ advantages }) => advantages),
      [1 / 3 / spread, 1 / 3 / spread, -2 / 3 / spread],
    )
    close(
      targets.flatMap(({ returns }) => returns!),
      [1.5, 2, -1],
    )
  })

  test('with the group as baseline: the whole return less the mean, alike for all actions', () => {
    // 2 − 0.5 and −2 + 1: mean 0.25
    const targets = actionTargets(samples, 0.5, { ...settings, baseline: 'group' })
    close(targets[0].advantages, [1.25, 1.25])
    close(targets[1].advantages, [-1.25])
    expect(targets[0].returns).toBeUndefined()
    const white = actionTargets(samples, 0.5, { ...settings, whiten: true, baseline: 'group' })
    close(
      white.flatMap(({ advantages }) => advantages).map((value) => Number(value.toFixed(6))),
      [1, 1, -1],
    )
  })

  test('a constant in log R changes nothing, and samples that are all alike teach nothing', () => {
    for (const baseline of ['value-head', 'group'] as const) {
      const moved = samples.map((sample) => ({ ...sample, logReward: sample.logReward + 100 }))
      const [plain, shifted] = [samples, moved].map((all) => actionTargets(all, 0.5, { ...settings, baseline }))
      close(
        shifted.flatMap(({ advantages }) => advantages),
        plain.flatMap(({ advantages }) => advantages),
      )
    }
    const alike = [samples[0], samples[0]].map((sample) => ({ ...sample, values: [2, 2], logQ: [-2, -1] }))
    for (const { advantages } of actionTargets(alike, 1, { ...settings, whiten: true, baseline: 'group' }))
      close(advantages, [0, 0])
  })
})

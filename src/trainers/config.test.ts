import { expect, test } from 'vitest'
import { parseTrainingConfig, withDefaults } from './config.ts'

test('options go before defaults, key by key, and what nobody says is the schema’s', () => {
  const defaults = {
    steps: 50,
    latent: { maxTokens: 30, minTokens: 1 },
    rewardTemperature: { from: 1, to: 0.9, steps: 10 },
  }
  const config = parseTrainingConfig(withDefaults(defaults, { latent: { maxTokens: 12 }, seed: 3 }), 'test')
  expect(config).toMatchObject({ steps: 50, seed: 3, promptsPerStep: 4 })
  expect(config.latent).toMatchObject({ maxTokens: 12, minTokens: 1, stop: '.' })
  expect(config.rewardTemperature).toMatchObject({ from: 1, to: 0.9, steps: 10 })
  expect(withDefaults(defaults, { steps: undefined })).toEqual(defaults)
})

test('a way from one value to another is one value, and a list too', () => {
  const defaults = { rewardTemperature: { from: 1, to: 0.9, steps: 10 }, latent: { forbiddenTokens: [1, 2] } }
  const merged = withDefaults(defaults, { rewardTemperature: { from: 2, to: 1 }, latent: { forbiddenTokens: [3] } })
  expect(merged).toEqual({ rewardTemperature: { from: 2, to: 1 }, latent: { forbiddenTokens: [3] } })
  expect(withDefaults(defaults, { rewardTemperature: 0.8 }).rewardTemperature).toBe(0.8)
})

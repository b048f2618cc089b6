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

test('the sources of an update, at their most, make up no more than all of it', () => {
  const sources = (tempered: object | number) => () =>
    parseTrainingConfig({ sources: { tempered, replay: 0.5 } }, 'test')
  expect(sources({ from: 0.5, to: 0 })().sources.tempered).toEqual({ from: 0.5, to: 0, shape: 'linear' })
  for (const tempered of [0.6, { from: 0.6, to: 0 }, { from: 0, to: 0.6 }])
    expect(sources(tempered)).toThrow('sources must not ask for more than all samples')
})

test('a way from one value to another is one value, and a list too', () => {
  const defaults = { rewardTemperature: { from: 1, to: 0.9, steps: 10 }, latent: { forbiddenTokens: [1, 2] } }
  const merged = withDefaults(defaults, { rewardTemperature: { from: 2, to: 1 }, latent: { forbiddenTokens: [3] } })
  expect(merged).toEqual({ rewardTemperature: { from: 2, to: 1 }, latent: { forbiddenTokens: [3] } })
  expect(withDefaults(defaults, { rewardTemperature: 0.8 }).rewardTemperature).toBe(0.8)
})

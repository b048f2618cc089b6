/** Values that other software computed (PyTorch, transformers, PEFT) for tiny random checkpoints of every architecture. */

import { readdirSync, readFileSync } from 'node:fs'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { LoraAdapter } from '../src/adapters/lora.ts'
import { readPeftFolder } from '../src/adapters/peft.ts'
import { learnStep } from '../src/gflownet/learn-step.ts'
import { scoreUnderPolicy } from '../src/gflownet/policy.ts'
import { type ModelDescription, recomputations } from '../src/models/architecture.ts'
import { architectures } from '../src/models/architectures.ts'
import type { Lanes } from '../src/models/lane.ts'
import { describeModel, type LanguageModel, loadLanguageModel, loadWeights } from '../src/models/language-model.ts'
import { scoreTree, textLogits } from '../src/models/score.ts'
import { scoreText } from '../src/models/score-text.ts'
import { seededRandom } from '../src/random.ts'
import { sampleLatents } from '../src/sampling/sample.ts'
import { openSafetensors } from '../src/weights/safetensors.ts'
import { presentDevices } from './devices.ts'

const golden = new URL('./golden/', import.meta.url).pathname
const TOLERANCE = 1e-4 // relative; the golden values are float32 from another order of summation

/** Every checkpoint here is put through the same suite. */
const checkpoints = readdirSync(`${golden}checkpoints`)

test('every architecture has a golden checkpoint', () => {
  const types = checkpoints.map((name) => describeModel(`${golden}checkpoints/${name}`).modelType)
  expect(Object.keys(architectures).filter((name) => !types.includes(name))).toEqual([])
})

const onDevices = presentDevices('checkpoints').flatMap((device) => checkpoints.map((name) => ({ name, ...device })))

describe.each(onDevices)('$name on $device agrees with transformers and PEFT', ({ name, device, errorFactor }) => {
  const close = (actual: ArrayLike<number>, wanted: ArrayLike<number>) =>
    closeTo(actual, wanted, TOLERANCE * errorFactor)
  const expected = JSON.parse(readFileSync(`${golden}models-${name}.json`, 'utf8'))
  const folder = `${golden}checkpoints/${name}`
  let model: ModelDescription
  let lanes: Lanes
  let adapter: LoraAdapter
  beforeAll(async () => {
    ;({ description: model, lanes } = await loadWeights(folder, describeModel(folder), { threads: 1, device }))
    adapter = readPeftFolder(`${golden}adapters/${name}`)
  })
  afterAll(() => lanes.dispose())

  test('in its logits', async () => {
    close(await lanes.use((lane) => textLogits(lane, { model }, expected.tokens)), expected.logits)
  })

  test('in its logits with an adapter', async () => {
    close(await lanes.use((lane) => textLogits(lane, { model, adapter }, expected.tokens)), expected.adapter.logits)
  })

  test('in the likelihood of an ending after every prefix of a latent, in one packed pass', async () => {
    const { ending, log_p_ending_and_eos_after_each_prefix: answers } = expected.ending
    const { prompt, samples, terminal_token } = expected.adapter
    const [latent] = samples as number[][]
    const branches = answers.map((_: number, prefix: number) => ({ latent: 0, prefix, tokens: ending }))
    const tokens = [...ending, terminal_token]
    const log = await lanes.use((lane) =>
      scoreTree(lane, { model }, { prompt, latents: [latent], branches }, ({ branchToken }) =>
        answers.flatMap((_: number, b: number) => tokens.map((token, i) => ({ after: branchToken(b, i - 1), token }))),
      ),
    )
    const sums = answers.map((_: number, b: number) =>
      log.subarray(b * tokens.length, (b + 1) * tokens.length).reduce((x, y) => x + y),
    )
    close(sums, answers)
  })

  test('in log q where tokens and lengths are limited', async () => {
    const { prompt, logits, terminal_token: stop } = expected.adapter
    const { tokens } = expected as { tokens: number[] }
    const { vocabulary } = model.dimensions
    const latent = tokens.slice(prompt.length)
    const bias = Float32Array.from({ length: vocabulary }, (_, token) =>
      token % 3 === 0 && !latent.includes(token) ? Number.NEGATIVE_INFINITY : 0,
    )
    const minTokens = 4
    const support = { stop, minTokens, maxTokens: 99, bias }
    const [score] = await lanes.use((lane) =>
      scoreUnderPolicy(lane, { model, adapter, support }, { prompt, latents: [latent] }),
    )
    const wanted = latent.map((token, i) => {
      const row = logits.slice((prompt.length + i - 1) * vocabulary, (prompt.length + i) * vocabulary)
      const allowed = row.filter((_: number, v: number) => (v === stop ? i >= minTokens : bias[v] === 0))
      return row[token] - Math.log(allowed.reduce((sum: number, value: number) => sum + Math.exp(value), 0))
    })
    close(score.logTokens, wanted)
  })

  test('in what it samples token by token from its cache: at a temperature near 0, the likeliest tokens', async () => {
    const { prompt } = expected.adapter
    const { vocabulary } = model.dimensions
    const support = { stop: 2, minTokens: 10, maxTokens: 10 } // ⊤ is impossible before the tenth token and forced after it
    const [cold] = await lanes.use((lane) =>
      sampleLatents(
        lane,
        { model, adapter, support },
        { prompt, temperatures: [1e-5, 1, 2], draws: seededRandom(1).at('sample') },
      ),
    )
    const logits = await lanes.use((lane) => textLogits(lane, { model, adapter }, [...prompt, ...cold]))
    const likeliest = cold.map((_, i) => {
      const row = logits.slice((prompt.length + i - 1) * vocabulary, (prompt.length + i) * vocabulary)
      row[support.stop] = Number.NEGATIVE_INFINITY
      return row.indexOf(Math.max(...row))
    })
    expect(cold).toEqual(likeliest)
  })

  test.each(recomputations)(
    'in log q, in equation 3 and in every LoRA gradient, %s computed again',
    async (recompute) => {
      const { prompt, samples, log_rewards_of_prefixes, per_sample, terminal_token } = expected.adapter
      const support = { stop: terminal_token, minTokens: 0, maxTokens: 99 }
      const objective = { name: 'subtrajectory-balance' as const, lambda: 1 }
      const batch = { prompt, latents: samples, logRewards: log_rewards_of_prefixes, logPartition: 0 }
      const policy = { model: { ...model, recompute }, adapter, support, objective }
      const result = await lanes.use((lane) => learnStep(lane, policy, batch))
      for (const [n, { log_pf, log_pterm }] of per_sample.entries()) {
        close(result.scores[n].logTokens, log_pf)
        close(result.scores[n].logStop, log_pterm)
      }
      const pairs = samples.reduce((sum: number, { length }: number[]) => sum + (length * (length + 1)) / 2, 0)
      close([result.loss * pairs], [expected.adapter.subtb_sum_over_samples])

      const gradients = openSafetensors(`${golden}adapters/${name}/gradients.safetensors`)
      expect(gradients.entries.size).toBe(Object.keys(result.gradients).length)
      for (const [key, gradient] of Object.entries(result.gradients))
        close(
          (gradient.data as Float32Array).map((value) => value * pairs),
          gradients.read(`base_model.model.${key}`).data as Float32Array,
        )
      gradients.close()
    },
  )
})

describe('the embedded model agrees with transformers on real text', () => {
  const texts = JSON.parse(readFileSync(`${golden}stories260K.json`, 'utf8'))
  let model: LanguageModel
  beforeAll(async () => {
    model = await loadLanguageModel(new URL('../models/stories260K', import.meta.url).pathname, { threads: 1 })
  })
  afterAll(() => model.dispose())

  test('in its tokens, in the likelihood of each, and in the last logits', async () => {
    for (const { text, tokens, log_p_of_each_next_token, logits_last } of texts.slice(0, -1)) {
      const { description, tokenizer, lanes } = model
      const encoded = tokenizer.encode(text === '<s>' ? '' : text, { addSpecialTokens: true })
      expect(encoded).toEqual(tokens)
      closeTo(await lanes.use((lane) => scoreText(lane, { model: description }, tokens)), log_p_of_each_next_token)
      const logits = await lanes.use((lane) => textLogits(lane, { model: description }, tokens))
      closeTo(logits.subarray(-logits_last.length), logits_last)
    }
  })

  test('in the most probable token at every place of a greedy story', async () => {
    const { greedy_from, tokens } = texts.at(-1)
    const { vocabulary } = model.description.dimensions
    const logits = await model.lanes.use((lane) => textLogits(lane, { model: model.description }, tokens))
    for (let i = greedy_from.length; i < tokens.length; i++) {
      const row = logits.subarray((i - 1) * vocabulary, i * vocabulary)
      expect(row.indexOf(Math.max(...row))).toBe(tokens[i])
    }
  })
})

/** Equal to the tolerance, relative to the largest value. */
function closeTo(actual: ArrayLike<number>, wanted: ArrayLike<number>, tolerance = TOLERANCE) {
  expect(actual.length).toBe(wanted.length)
  const scale = Math.max(1, ...Array.from(wanted, Math.abs))
  const worst = Math.max(0, ...Array.from(wanted, (value, i) => Math.abs(value - actual[i])))
  expect(worst / scale).toBeLessThan(tolerance)
}

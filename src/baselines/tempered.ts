/** @file Sampling at a temperature; at 1 it is ancestral sampling, the base model itself. */
import type { Lane } from '../models/lane.ts'
import type { Tree } from '../models/prefix-tree.ts'
import { type Places, scoreTree } from '../models/score.ts'
import type { Sampler } from '../sampling/sample.ts'
import { innerBias, isForced, isTerminable } from '../sampling/support.ts'
import { drawLatents } from './draw-latents.ts'
import { inferenceMethod, requirePositive } from './method.ts'
import type { LogProbabilities } from './next-tokens.ts'

/** Every token from the sampler's own distribution. */
export const ancestral = () => inferenceMethod('ancestral', drawLatents)

/**
 * Every token from the softmax of logits / temperature: each step is tempered, not the whole sequence (that is the
 * posterior of the tempered reward, which this only resembles).
 * @param temperature by default that of the reward, as in Hu et al. 2024, section 4.1
 * @throws UserError for a temperature that is not above 0
 */
export function tempered(temperature?: number) {
  if (temperature !== undefined) requirePositive('the temperature', temperature)
  return inferenceMethod(temperature === undefined ? 'tempered' : `tempered, ${temperature}`, (lane, query) =>
    drawLatents(lane, query, (next) => atTemperature(next, temperature ?? query.rewardTemperature)),
  )
}

/**
 * log q of given latents, ⊤ counted, where every token is drawn at the temperature, nats: [latents]. In one pass over their
 * prefix tree.
 */
export async function temperedLogQ(
  lane: Lane,
  { model, adapter, support }: Sampler,
  { prompt, latents, temperature }: Tree & { temperature: number },
): Promise<number[]> {
  const { stop } = support
  const places = latents.map((latent) => (isForced(support, latent.length) ? latent : [...latent, stop]))
  const limits = { stop, bias: innerBias(support, model.dimensions.vocabulary), temperature }
  const ask = ({ latentToken }: Places) =>
    places.flatMap((tokens, n) =>
      tokens.map((token, i) => ({ after: latentToken(n, i - 1), token, mayStop: isTerminable(support, i) })),
    )
  const answers = await scoreTree(lane, { model, adapter }, { prompt, latents }, ask, limits)
  let next = 0
  return places.map(({ length }) => {
    next += length
    return answers.subarray(next - length, next).reduce((sum, value) => sum + value, 0)
  })
}

/** log-masses of the tempered distribution, not normalised. */
export const atTemperature = (next: LogProbabilities, temperature: number): Float32Array =>
  next.map((value) => value / temperature)

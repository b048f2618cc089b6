/** @file Sampling at a temperature; at 1 it is ancestral sampling, the base model itself. */
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

/** log-masses of the tempered distribution, not normalised. */
export const atTemperature = (next: LogProbabilities, temperature: number): Float32Array =>
  next.map((value) => value / temperature)

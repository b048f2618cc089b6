/** @file Latents drawn left to right with their log-probabilities, from a sampler or from what a baseline makes of it. */
import type { Lane } from '../models/lane.ts'
import type { Draws } from '../random.ts'
import { emptyLatent, type Latent } from '../sampling/latent.ts'
import type { Sampler } from '../sampling/sample.ts'
import { type LogProbabilities, type State, withNextTokens } from './next-tokens.ts'

/** Latents with log q of each, ⊤ counted, nats. */
export type DrawnLatents = { latents: Latent[]; logQ: number[] }

/** Changes the distribution of the next token: log-masses, which need not sum to one; −∞ for what is cut. */
export type Reshape = (next: LogProbabilities) => Float32Array

const asIs: Reshape = (next) => next

/**
 * Draws from the sampler, or from its reshaped distributions. Takes as many numbers from `draws` as `sampleWithTool`, in the
 * same order. log q is that of the distribution drawn from.
 */
export async function drawLatents(
  lane: Lane,
  { sampler, prompt, samples, draws }: { sampler: Sampler; prompt: readonly number[]; samples: number; draws: Draws },
  reshape: Reshape = asIs,
): Promise<DrawnLatents> {
  const { stop, maxTokens } = sampler.support
  const uniforms = Array.from({ length: samples }, () =>
    Float64Array.from({ length: maxTokens }, () => draws.uniform()),
  )
  const latents = uniforms.map(() => emptyLatent)
  const logQ = uniforms.map(() => 0)
  return withNextTokens(lane, sampler, prompt, async (next) => {
    let open = latents.map((_, sample) => sample)
    let states = open.map(() => next.first)
    for (let actions = 0; open.length > 0; actions++) {
      const drawers = tokenDrawers(states, reshape)
      const goesOn = open.flatMap((sample, parent) => {
        const drawn = drawers[parent](uniforms[sample][actions] ?? 0) // there is no number where ⊤ is forced
        logQ[sample] += drawn.logQ
        return drawn.token === stop ? [] : [{ sample, parent, token: drawn.token }]
      })
      open = goesOn.map(({ sample }) => sample)
      states = await next.after(goesOn)
      for (const [place, sample] of open.entries()) latents[sample] = states[place].latent
    }
    return { latents, logQ }
  })
}

/** Draws one token with a number in [0, 1). */
export type TokenDrawer = (uniform: number) => { token: number; logQ: number }

/** A drawer for each state; what is computed for one distribution serves all that share it. */
export function tokenDrawers(states: readonly State[], reshape: Reshape = asIs): TokenDrawer[] {
  const drawers = new Map(
    [...new Set(states.map(({ next }) => next))].map((next) => [next, tokenDrawer(reshape(next))]),
  )
  return states.map(({ next }) => drawers.get(next)!)
}

/**
 * Draws by inversion: the first token whose cumulative mass exceeds `uniform` of the total, as the sampler's own graph does.
 * @param logMasses  [vocabulary], in any scale that exp can hold; −∞ for what must not be drawn
 * @throws Error where nothing may be drawn
 */
export function tokenDrawer(logMasses: ArrayLike<number>): TokenDrawer {
  const running = new Float64Array(logMasses.length)
  let total = 0
  for (let token = 0; token < running.length; token++) running[token] = total += Math.exp(logMasses[token])
  if (!(total > 0)) throw new Error('no token may follow')
  return (uniform) => {
    const mark = Math.min(uniform * total, total - Number.EPSILON * total) // the product may round up to the total
    let [low, high] = [0, running.length - 1]
    while (low < high) {
      const middle = (low + high) >> 1
      if (running[middle] > mark) high = middle
      else low = middle + 1
    }
    return { token: low, logQ: logMasses[low] - Math.log(total) }
  }
}

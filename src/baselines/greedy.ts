/** @file Greedy decoding: the most likely token, every time. */
import type { Lane } from '../models/lane.ts'
import type { DrawnLatents } from './draw-latents.ts'
import { inferenceMethod, type Query } from './method.ts'
import { withNextTokens } from './next-tokens.ts'

/** Gives one latent, however many are wanted. */
export const greedy = () => inferenceMethod('greedy', decodeGreedily)

/** The one latent with log q; of equally likely tokens the first. */
export function decodeGreedily(lane: Lane, { sampler, prompt }: Pick<Query, 'sampler' | 'prompt'>) {
  return withNextTokens(lane, sampler, prompt, async (next): Promise<DrawnLatents> => {
    let logQ = 0
    for (let state = next.first; ; ) {
      const token = state.next.indexOf(state.next.reduce((a, b) => Math.max(a, b)))
      logQ += state.next[token]
      if (token === sampler.support.stop) return { latents: [state.latent], logQ: [logQ] }
      ;[state] = await next.after([{ parent: 0, token }])
    }
  })
}

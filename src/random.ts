/**
 * @file Randomness with an address. A run has one seed; every draw is made at a name and coordinates
 * (`random.at('behaviour', step, prompt)`), so that neither the order of work nor the number of workers changes it,
 * and a checkpoint that holds the seed and the step holds the whole random state.
 */
import { createHash } from 'node:crypto'
import { xoroshiro128plusFromState } from 'pure-rand/generator/xoroshiro128plus'

/** A stream of draws. */
export type Draws = {
  /** Uniform in [0, 1), 53 bits. */
  uniform(): number
  /** Standard normal. */
  normal(): number
  /** Uniform integer in [0, below). */
  integer(below: number): number
}

/** The source of every random draw of a run. */
export type Random = { seed: number; at(name: string, ...coordinates: (number | string)[]): Draws }

/** The generator that belongs to a seed. Equal seeds and addresses give equal draws. */
export function seededRandom(seed: number): Random {
  return { seed, at: (name, ...coordinates) => draws(JSON.stringify([seed, name, ...coordinates])) }
}

function draws(address: string): Draws {
  const hash = createHash('sha256').update(address).digest()
  const state = [0, 4, 8, 12].map((offset) => hash.readInt32LE(offset))
  state[0] |= 1 // the all-zero state is the one that the generator cannot leave
  const generator = xoroshiro128plusFromState(state)
  const uniform = () => ((generator.next() >>> 5) * 2 ** 26 + (generator.next() >>> 6)) / 2 ** 53 // high 27 and 26 bits of two draws
  return {
    uniform,
    normal: () => Math.sqrt(-2 * Math.log(1 - uniform())) * Math.cos(2 * Math.PI * uniform()),
    integer: (below) => Math.floor(uniform() * below),
  }
}

/**
 * @file Rotary scaling in GGUF: linear scaling is a key; Llama 3's is a tensor of factors by which the turning of each pair
 * is slowed, made from four numbers that the file does not have. They are found again, so that the config is Llama 3's.
 */
import { UserError } from '../../errors.ts'
import { type RotaryConfig, rotaryFrequencies } from '../rotary.ts'
import type { Keys } from './keys.ts'

type RopeParameters = { rope_type: string; rope_theta: number; [key: string]: number | string }

const DEFAULT_THETA = 10_000
const LLAMA3_CONTEXT = 8192 // what Llama 3 was trained on before it was scaled; llama.cpp's converter knows no other
const TOLERANCE = 1e-5 // relative, of factors stored as float32

/**
 * What a config says as `rope_parameters`.
 * @param factors  the tensor rope_freqs.weight, if there is one, [headWidth / 2]
 * @throws UserError for another kind of scaling
 */
export function ropeParameters(keys: Keys, headWidth: number, factors: Float32Array | undefined): RopeParameters {
  const theta = keys.optionalPositive('rope.freq_base') ?? DEFAULT_THETA
  keys.expect('rope.dimension_count', headWidth)
  const type = keys.optionalText('rope.scaling.type') ?? 'none'
  const factor = keys.optionalPositive('rope.scaling.factor') ?? keys.optionalPositive('rope.scale_linear') ?? 1
  if (type !== 'none' && type !== 'linear') throw unsupported(keys, `rotary scaling "${type}"`)
  if (!factors) {
    if (factor === 1) return { rope_type: 'default', rope_theta: theta }
    return { rope_type: 'linear', rope_theta: theta, factor }
  }
  const trained = keys.optionalCount('rope.scaling.original_context_length') ?? LLAMA3_CONTEXT
  const llama3 = factor === 1 ? llama3Parameters(factors, headWidth, theta, trained) : undefined
  if (llama3) return { ...llama3, rope_theta: theta }
  throw unsupported(keys, 'the scaling in rope_freqs.weight')
}

const unsupported = (keys: Keys, what: string) =>
  new UserError({
    what: `${what} is not supported; none, linear and that of Llama 3 are`,
    where: keys.path,
    fix: 'choose another model',
  })

type Llama3 = Extract<NonNullable<RotaryConfig['rope_parameters']>, { rope_type: 'llama3' }>

/** The numbers from which Llama 3's rule makes these factors; undefined where it cannot. */
export function llama3Parameters(
  factors: ArrayLike<number>,
  headWidth: number,
  theta: number,
  trained: number,
): Llama3 | undefined {
  if (factors.length !== headWidth / 2) return undefined
  const slowdowns = Array.from(factors)
  const factor = Math.max(...slowdowns)
  const turns = rotaryFrequencies(headWidth, { rope_theta: theta }).map((f) => (trained * f) / (2 * Math.PI))
  const candidates = [[1, 4], thresholds(turns, slowdowns, factor)] // Llama 3's own, then what the factors say
  return candidates
    .map(([low_freq_factor, high_freq_factor]): Llama3 => {
      const original_max_position_embeddings = trained
      return { rope_type: 'llama3', factor, low_freq_factor, high_freq_factor, original_max_position_embeddings }
    })
    .find((parameters) => {
      const made = ropeFactors(headWidth, { rope_theta: theta, rope_parameters: parameters })
      return made.every((value, i) => Math.abs(value - slowdowns[i]) <= TOLERANCE * slowdowns[i])
    })
}

/** By how much a config slows the turning of each pair, [headWidth / 2]. */
export function ropeFactors(headWidth: number, config: RotaryConfig): number[] {
  const theta = config.rope_theta ?? (config.rope_parameters as { rope_theta?: number } | undefined)?.rope_theta
  const plain = rotaryFrequencies(headWidth, { rope_theta: theta })
  return rotaryFrequencies(headWidth, { ...config, rope_theta: theta }).map((frequency, i) => plain[i] / frequency)
}

/**
 * Turns within the trained context below which pairs are slowed by the whole factor and above which they are kept. The
 * share that is kept grows linearly between them: a line through two blended pairs, or, with fewer, one that separates
 * the kept pairs from the slowed ones.
 */
function thresholds(turns: readonly number[], slowdowns: readonly number[], factor: number): [number, number] {
  const kept = slowdowns.map((slowdown) => (1 / slowdown - 1 / factor) / (1 - 1 / factor))
  const where = (test: (share: number) => boolean) => turns.filter((_, i) => test(kept[i]))
  const slowest = Math.max(0, ...where((share) => share < TOLERANCE))
  const fastest = Math.min(Number.MAX_VALUE, ...where((share) => share > 1 - TOLERANCE))
  const blended = turns
    .map((turn, i) => [turn, kept[i]])
    .filter(([, share]) => share >= TOLERANCE && share <= 1 - TOLERANCE)
  if (!blended.length) return [slowest, fastest]
  const [[turn, share], [otherTurn, otherShare]] = [blended[0], blended.at(-1)!]
  const slope =
    blended.length > 1
      ? (share - otherShare) / (turn - otherTurn)
      : Math.max((1 - share) / (fastest - turn), share / (turn - slowest))
  const low = turn - share / slope
  return [low, low + 1 / slope]
}

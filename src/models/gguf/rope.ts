/**
 * @file Rotary scaling in GGUF: linear scaling and YaRN are keys; Llama 3's is a tensor of factors by which the turning of
 * each pair is slowed, made from four numbers that the file does not have. They are found again, so that the config is
 * Llama 3's.
 */
import { UserError } from '../../errors.ts'
import { count, type Entries, real, text } from '../../weights/gguf/entries.ts'
import { plainFrequencies, type RotaryConfig, rotaryOf } from '../rotary.ts'
import type { Keys } from './keys.ts'

type RopeParameters = { rope_type: string; rope_theta: number; [key: string]: number | string }
type Rule = NonNullable<RotaryConfig['rope_parameters']>
type Llama3 = Extract<Rule, { rope_type: 'llama3' }>

const DEFAULT_THETA = 10_000
const LLAMA3_CONTEXT = 8192 // what Llama 3 was trained on before it was scaled; llama.cpp's converter knows no other
const TOLERANCE = 1e-5 // relative, of factors stored as float32

/**
 * What a config says as `rope_parameters`.
 * @param factors  the tensor rope_freqs.weight, if there is one, [headWidth / 2]
 * @throws UserError for another kind of scaling
 */
export function ropeParameters(keys: Keys, headWidth: number, factors: Float32Array | undefined): RopeParameters {
  keys.expect('rope.dimension_count', headWidth)
  const theta = { rope_theta: keys.optionalPositive('rope.freq_base') ?? DEFAULT_THETA }
  const type = keys.optionalText('rope.scaling.type') ?? 'linear'
  const stated = keys.optionalPositive('rope.scaling.factor') ?? keys.optionalPositive('rope.scale_linear') ?? 1
  const factor = type === 'none' ? 1 : stated
  const trained = keys.optionalCount('rope.scaling.original_context_length')
  if (factors) {
    const llama3 =
      factor === 1 &&
      llama3Parameters(factors, { headWidth, theta: theta.rope_theta, trained: trained ?? LLAMA3_CONTEXT })
    if (llama3) return { ...llama3, ...theta }
    throw unsupported('the scaling in rope_freqs.weight', keys)
  }
  if (type === 'yarn') {
    for (const [key, neutral] of Object.entries(YARN_KEYS)) keys.expect(`rope.scaling.${key}`, neutral)
    const original_max_position_embeddings = trained ?? keys.count('context_length')
    return { rope_type: 'yarn', factor, original_max_position_embeddings, ...theta }
  }
  if (type !== 'none' && type !== 'linear')
    throw unsupported(`rotary scaling ${JSON.stringify(type.slice(0, 60))}`, keys)
  return factor === 1 ? { rope_type: 'default', ...theta } : { rope_type: 'linear', factor, ...theta }
}

/** What a config does not say as a rule: where a file says something else, it is not the YaRN of the paper. */
const YARN_KEYS = {
  attn_factor: 1,
  yarn_log_multiplier: 0,
  yarn_ext_factor: 1,
  yarn_attn_factor: 1,
  yarn_beta_fast: 32,
  yarn_beta_slow: 1,
}

const unsupported = (what: string, { path }: Keys) =>
  new UserError({
    what: `${what} is not supported; none, linear, yarn and that of Llama 3 are`,
    where: path,
    fix: 'choose another model',
  })

/** The keys of a config's rotary positions. @throws UserError for what GGUF has no key for */
export function ropeEntries(config: RotaryConfig, positions: number, where: string): Entries {
  const rule = ruleOf(config)
  const entries = { 'rope.freq_base': real(thetaOf(config)) }
  switch (rule.rope_type) {
    case 'default':
      return entries
    case 'linear':
      return { ...entries, 'rope.scaling.type': text('linear'), 'rope.scaling.factor': real(rule.factor) }
    case 'llama3': // the rest is a tensor; with this the same config can be read back
      return { ...entries, 'rope.scaling.original_context_length': count(rule.original_max_position_embeddings) }
    case 'yarn':
      if (isPlainYarn(rule))
        return {
          ...entries,
          'rope.scaling.type': text('yarn'),
          'rope.scaling.factor': real(rule.factor),
          'rope.scaling.original_context_length': count(rule.original_max_position_embeddings ?? positions),
        }
  }
  const what = `GGUF cannot hold this config's rotary scaling "${rule.rope_type}"`
  throw new UserError({ what, where, fix: 'export to safetensors' })
}

const isPlainYarn = (rule: Extract<Rule, { rope_type: 'yarn' }>) =>
  rule.beta_fast === 32 &&
  rule.beta_slow === 1 &&
  rule.truncate &&
  [rule.attention_factor, rule.mscale, rule.mscale_all_dim].every((setting) => setting === undefined)

const ruleOf = (config: RotaryConfig): Rule => config.rope_parameters ?? config.rope_scaling ?? { rope_type: 'default' }

const thetaOf = (config: RotaryConfig) => ruleOf(config).rope_theta ?? config.rope_theta ?? DEFAULT_THETA

/** By how much Llama 3's rule slows the turning of each pair, [headWidth / 2]; undefined where another rule holds. */
export function ropeFactors(
  config: RotaryConfig,
  { headWidth, positions }: { headWidth: number; positions: number },
  where: string,
): number[] | undefined {
  const { frequencies } = rotaryOf(config, { headWidth, positions }, where)
  const plain = plainFrequencies({ headWidth, turned: headWidth, theta: thetaOf(config) }, where)
  if (frequencies.length !== plain.length)
    throw new UserError({ what: 'partial_rotary_factor: whole heads must turn', where, fix: 'export to safetensors' })
  return ruleOf(config).rope_type === 'llama3' ? plain.map((frequency, i) => frequency / frequencies[i]) : undefined
}

/** The numbers from which Llama 3's rule makes these factors; undefined where it cannot. */
export function llama3Parameters(
  factors: ArrayLike<number>,
  { headWidth, theta, trained }: Record<'headWidth' | 'theta' | 'trained', number>,
): Llama3 | undefined {
  const slowdowns = Array.from(factors)
  if (headWidth % 2 !== 0 || slowdowns.length !== headWidth / 2) return undefined
  const factor = Math.max(...slowdowns)
  const plain = plainFrequencies({ headWidth, turned: headWidth, theta }, '')
  const turns = plain.map((frequency) => (trained * frequency) / (2 * Math.PI))
  const candidates = [[1, 4], thresholds(turns, slowdowns, factor)] // Llama 3's own, then what the factors say
  return candidates
    .map(([low_freq_factor, high_freq_factor]): Llama3 => {
      const original_max_position_embeddings = trained
      return { rope_type: 'llama3', factor, low_freq_factor, high_freq_factor, original_max_position_embeddings }
    })
    .find((rule) => {
      const config = { rope_parameters: { ...rule, rope_theta: theta } }
      const made = ropeFactors(config, { headWidth, positions: trained }, '')!
      return made.every((value, i) => Math.abs(value - slowdowns[i]) <= TOLERANCE * slowdowns[i])
    })
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

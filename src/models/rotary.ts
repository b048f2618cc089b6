/** @file Rotary angles: how fast each pair of a head's elements turns, and the checkpoint's ways of saying so. */
import { z } from 'zod'
import { UserError } from '../errors.ts'

const positive = z.number().positive()
const trained = z.number().int().positive() // positions that the model knew before it was scaled
/** What newer files say beside the kind of scaling. */
const common = { rope_theta: positive.optional(), partial_rotary_factor: z.number().gt(0).max(1).optional() }

// Strict: what a key of another library means for the angles is not guessed.
const kinds = [
  z.strictObject({ rope_type: z.literal('default'), ...common }),
  z.strictObject({ rope_type: z.literal('linear'), factor: positive, ...common }),
  z.strictObject({
    rope_type: z.literal('dynamic'),
    factor: positive,
    original_max_position_embeddings: trained.optional(),
    ...common,
  }),
  z.strictObject({
    rope_type: z.literal('llama3'),
    factor: positive,
    low_freq_factor: positive,
    high_freq_factor: positive,
    original_max_position_embeddings: trained,
    ...common,
  }),
  z.strictObject({
    rope_type: z.literal('yarn'),
    factor: positive,
    original_max_position_embeddings: trained.optional(),
    attention_factor: positive.optional(),
    beta_fast: positive.default(32),
    beta_slow: positive.default(1),
    mscale: z.number().optional(),
    mscale_all_dim: z.number().optional(),
    truncate: z.boolean().default(true),
    ...common,
  }),
] as const
const kindNames = kinds.map(({ shape }) => shape.rope_type.value)

const scaling = z.discriminatedUnion('rope_type', kinds, {
  error: ({ input }) =>
    typeof input !== 'object'
      ? undefined // zod says it
      : `rotary scaling "${(input as { rope_type?: unknown }).rope_type}" is not supported; ${kindNames.join(', ')} are`,
})
type Scaling = z.infer<typeof scaling>
type ScalingOf<Kind extends Scaling['rope_type']> = Extract<Scaling, { rope_type: Kind }>

/** Older files say `rope_scaling` with `type`, newer ones `rope_parameters` with `rope_type`. */
const asWritten = z.preprocess((value) => {
  if (value !== null && typeof value !== 'object') return value
  const given = Object.entries(value ?? {}).filter(([, setting]) => setting !== null)
  const { type, ...rest } = Object.fromEntries(given)
  return { rope_type: type ?? 'default', ...rest }
}, scaling)

/** The keys of a config.json that say how positions turn. Other kinds of scaling are refused by name. */
export const rotaryConfig = {
  rope_theta: positive.optional(),
  partial_rotary_factor: common.partial_rotary_factor,
  rope_scaling: asWritten.optional(),
  rope_parameters: asWritten.optional(),
}

export type RotaryConfig = { [Key in keyof typeof rotaryConfig]?: z.infer<(typeof rotaryConfig)[Key]> }

const DEFAULT_THETA = 10_000

/** Radians per position for each pair that turns, and what turned elements are multiplied by besides. */
export type Rotary = { frequencies: readonly number[]; scale: number }

type Place = {
  headWidth: number
  /** Positions that config.json allows for. */
  positions: number
  /** What an architecture assumes where the config is silent. */
  theta?: number
  partial?: number
}

/** How a head turns. @throws UserError where the elements that should turn do not make pairs */
export function rotaryOf(config: RotaryConfig, { headWidth, positions, ...assumed }: Place, where: string): Rotary {
  const rule: Scaling = config.rope_parameters ?? config.rope_scaling ?? { rope_type: 'default' }
  const theta = rule.rope_theta ?? config.rope_theta ?? assumed.theta ?? DEFAULT_THETA
  const partial = rule.partial_rotary_factor ?? config.partial_rotary_factor ?? assumed.partial ?? 1
  const plain = plainFrequencies({ headWidth, turned: Math.floor(headWidth * partial), theta }, where)
  switch (rule.rope_type) {
    case 'linear':
      return { frequencies: plain.map((frequency) => frequency / rule.factor), scale: 1 }
    case 'llama3':
      return { frequencies: llama3Frequencies(plain, rule), scale: 1 }
    case 'yarn':
      return yarn(plain, rule, { theta, positions })
    default: // dynamic scaling slows only what reaches beyond the configured positions, and nothing does
      return { frequencies: plain, scale: 1 }
  }
}

/**
 * Frequencies without scaling, of the first `turned` elements of a head.
 * @throws UserError where these are more than the head has, or make no pairs
 */
export function plainFrequencies(
  { headWidth, turned, theta = DEFAULT_THETA }: { headWidth: number; turned: number; theta?: number },
  where: string,
): number[] {
  if (turned === 0 || turned % 2 !== 0 || turned > headWidth)
    throw new UserError({
      what: `rotary positions cannot turn ${turned} of a head's ${headWidth} elements in pairs`,
      where,
      fix: 'use the config.json that belongs to the weights',
    })
  return Array.from({ length: turned / 2 }, (_, i) => theta ** ((-2 * i) / turned))
}

/**
 * Slow turns are slowed by `factor`, fast ones kept, those between blended by how often they turn in the context that
 * the model was first trained on.
 */
function llama3Frequencies(plain: readonly number[], rule: ScalingOf<'llama3'>): number[] {
  const { factor, low_freq_factor: low, high_freq_factor: high, original_max_position_embeddings: trained } = rule
  return plain.map((frequency) => {
    const turns = (trained * frequency) / (2 * Math.PI)
    const kept = Math.min(1, Math.max(0, (turns - low) / (high - low)))
    return kept * frequency + ((1 - kept) * frequency) / factor
  })
}

/** The same idea with a blend that is linear in the pair's index, and a scale (Peng et al. 2023). */
function yarn(
  plain: readonly number[],
  rule: ScalingOf<'yarn'>,
  { theta, positions }: { theta: number; positions: number },
): Rotary {
  const { factor, original_max_position_embeddings: trained = positions } = rule
  /** The pair, in between two, that turns so often in the first training's context. */
  const pairOf = (turns: number) => (plain.length * Math.log(trained / (turns * 2 * Math.PI))) / Math.log(theta)
  const [fast, slow] = [pairOf(rule.beta_fast), pairOf(rule.beta_slow)]
  const from = Math.max(0, rule.truncate ? Math.floor(fast) : fast)
  const to = Math.min(2 * plain.length - 1, rule.truncate ? Math.ceil(slow) : slow)
  const width = to - from || 0.001 // a step where both ends meet
  const frequencies = plain.map((frequency, pair) => {
    const slowed = Math.min(1, Math.max(0, (pair - from) / width))
    return (slowed * frequency) / factor + (1 - slowed) * frequency
  })
  const strength = (weight: number) => (factor <= 1 ? 1 : 0.1 * weight * Math.log(factor) + 1)
  const { mscale, mscale_all_dim: mscaleAll, attention_factor: scale } = rule
  return { frequencies, scale: scale ?? (mscale && mscaleAll ? strength(mscale) / strength(mscaleAll) : strength(1)) }
}

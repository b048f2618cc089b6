/** @file From a checkpoint's config.json to the description of a model. */
import { z } from 'zod'
import { UserError } from '../errors.ts'

const MAX_SIZE = 1 << 24 // far above any width, vocabulary or context; a damaged file must not fill the memory
const MAX_LAYERS = 1000 // the deepest models have a few hundred

/** A size. */
export const count = z.number().int().positive().max(MAX_SIZE)
export const layerCount = count.max(MAX_LAYERS)

/**
 * Reads the keys that an architecture uses; others are left alone, for config.json holds much that is not the model's.
 * @throws UserError listing every key that is missing, malformed or asks for what is not supported
 */
export function parseModelConfig<Schema extends z.ZodType>(
  schema: Schema,
  json: unknown,
  where: string,
): z.infer<Schema> {
  refuseQuantised(json, where)
  const result = schema.safeParse(json)
  if (result.success) return result.data
  const problems = result.error.issues.map(({ path, message }) => {
    const complaint = message.endsWith('received undefined') ? 'missing' : message
    return `${path.join('.') || 'config'}: ${complaint}`
  })
  throw new UserError({
    what: `not a config that flowtune can run (${problems.join('; ')})`,
    where,
    fix: 'use a checkpoint whose config.json has these keys in the supported form',
  })
}

/** Weights that other software has quantised are stored under names and in layouts of its own. */
function refuseQuantised(json: unknown, where: string): void {
  const { quantization_config: quantised } = (json ?? {}) as { quantization_config?: { quant_method?: unknown } | null }
  if (quantised)
    throw new UserError({
      what: `weights quantised by ${quantised.quant_method ?? 'other software'} are not supported`,
      where,
      fix: 'use the checkpoint that they were made from',
    })
}

/** The heads of an attention layer. @throws UserError where they do not divide what they share */
export function checkHeads(
  { width, heads, keyValueHeads, headWidth }: Record<'width' | 'heads' | 'keyValueHeads' | 'headWidth', number>,
  where: string,
): void {
  const fix = 'use the config.json that belongs to the weights'
  if (!Number.isInteger(headWidth))
    throw new UserError({ what: `a width of ${width} does not divide into ${heads} heads`, where, fix })
  if (heads % keyValueHeads !== 0)
    throw new UserError({ what: `${heads} heads cannot share ${keyValueHeads} heads of keys and values`, where, fix })
}

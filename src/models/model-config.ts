/** @file From a checkpoint's config.json to the description of a model. */
import type { z } from 'zod'
import { UserError } from '../errors.ts'

/**
 * Reads the keys that an architecture uses; others are left alone, for config.json holds much that is not the model's.
 * @throws UserError listing every key that is missing, malformed or asks for what is not supported
 */
export function parseModelConfig<Schema extends z.ZodType>(
  schema: Schema,
  json: unknown,
  where: string,
): z.infer<Schema> {
  const result = schema.safeParse(json)
  if (result.success) return result.data
  const problems = result.error.issues.map(({ path, message }) => `${path.join('.') || 'config'}: ${message}`)
  throw new UserError({
    what: `not a config that flowtune can run (${problems.join('; ')})`,
    where,
    fix: 'use a checkpoint whose config.json has these keys in the supported form',
  })
}

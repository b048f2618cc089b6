/** @file Every architecture that can be loaded, and what checkpoints of each have otherwise than its description. */
import { UserError } from '../errors.ts'
import type { Architecture, ConfigDescription } from './architecture.ts'
import { gptNeox } from './gpt-neox.ts'
import { gpt2 } from './gpt2.ts'
import { gptj } from './gptj.ts'
import { llama } from './llama.ts'
import { mistral } from './mistral.ts'
import { qwen2 } from './qwen2.ts'
import { qwen3 } from './qwen3.ts'

/** By `model_type`. */
export const architectures: Record<string, Architecture> = Object.fromEntries(
  [llama, mistral, qwen2, qwen3, gpt2, gptj, gptNeox].map((architecture) => [architecture.modelType, architecture]),
)

/** What config.json says. @throws UserError where it is malformed, or of an unknown architecture */
export function describeConfig(config: unknown, where: string): ConfigDescription {
  const type = String((config as { model_type?: unknown } | null)?.model_type)
  if (Object.hasOwn(architectures, type)) return architectures[type].describe(config, where)
  throw new UserError({
    what: `unknown architecture "${type}"`,
    where,
    fix: `use a checkpoint of ${Object.keys(architectures).join(', ')}`,
  })
}

/** All names that a checkpoint may give to a weight. */
export const namesInCheckpoint = ({ modelType }: Pick<ConfigDescription, 'modelType'>, weight: string): string[] => [
  weight,
  ...architectures[modelType].aliases(weight),
]

/** The matrices that a checkpoint stores turned round, by all names that it may give them. */
export const turnedInCheckpoint = (description: ConfigDescription): ReadonlySet<string> =>
  new Set(
    description.linears
      .filter(({ inputsFirst }) => inputsFirst)
      .flatMap(({ module }) => namesInCheckpoint(description, `${module}.weight`)),
  )

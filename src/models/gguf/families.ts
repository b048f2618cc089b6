import { UserError } from '../../errors.ts'
import type { Family } from './family.ts'
import { gptNeoxFamily } from './gpt-neox.ts'
import { gpt2Family } from './gpt2.ts'
import { llamaFamily, qwen2Family, qwen3Family } from './llama.ts'

/** The families that are read from GGUF files and written to them. */
export const FAMILIES: readonly Family[] = [llamaFamily, qwen2Family, qwen3Family, gpt2Family, gptNeoxFamily]

/** The family of a file, by its `general.architecture`. @throws UserError for another one, naming those there are */
export function familyOfFile(architecture: unknown, path: string): Family {
  const family = FAMILIES.find((candidate) => candidate.architecture === architecture)
  if (family) return family
  throw new UserError({
    what: `a GGUF file of architecture ${JSON.stringify(String(architecture).slice(0, 60))} is not supported`,
    where: path,
    fix: `use one of ${FAMILIES.map((candidate) => candidate.architecture).join(', ')}`,
  })
}

/** The family that a model is written as, by its `model_type`. @throws UserError where GGUF cannot hold it */
export function familyOfModel(modelType: string, where: string): Family {
  const family = FAMILIES.find(({ modelTypes }) => modelTypes.includes(modelType))
  if (family) return family
  throw new UserError({
    what: `a model of type ${JSON.stringify(modelType)} cannot be written to GGUF`,
    where,
    fix: `GGUF holds ${FAMILIES.flatMap(({ modelTypes }) => modelTypes).join(', ')}; export to safetensors`,
  })
}

/** @file A PEFT folder for a certain model. */
import { isTarget, type LoraAdapter } from '../adapters/lora.ts'
import { readPeftFolder } from '../adapters/peft.ts'
import { UserError } from '../errors.ts'
import type { ModelDescription } from './architecture.ts'

/** The adapter of a PEFT folder. @throws UserError where it cannot be read, or was made for a model of another shape */
export function loadAdapter(folder: string, { linears }: Pick<ModelDescription, 'linears'>): LoraAdapter {
  const adapter = readPeftFolder(folder)
  const { rank } = adapter.config
  const expected = new Map(
    linears
      .filter(({ module }) => isTarget(adapter.config, module))
      .flatMap(({ module, inputs, outputs }) => [
        [`${module}.lora_A.weight`, `${[rank, inputs]}`],
        [`${module}.lora_B.weight`, `${[outputs, rank]}`],
      ]),
  )
  for (const name of new Set([...expected.keys(), ...Object.keys(adapter.weights)])) {
    const [wanted, found] = [expected.get(name), adapter.weights[name]?.shape]
    if (wanted === `${found}`) continue
    const what = found ? `has shape [${found}]` : 'is missing'
    throw new UserError({
      what: `${name} ${what}, and the model ${wanted ? `needs [${wanted}]` : 'has no such layer'}`,
      where: folder,
      fix: 'use it with the model that it was trained on',
    })
  }
  return adapter
}

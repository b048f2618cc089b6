/** @file A PEFT folder for a certain model. */
import { createHash } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { inPresentLayout } from '../adapters/every-weight.ts'
import type { LoraAdapter } from '../adapters/lora.ts'
import { adapterFiles, readPeftFolder } from '../adapters/peft.ts'
import { UserError } from '../errors.ts'
import type { ModelDescription } from './architecture.ts'
import { adapterShapes } from './linear.ts'

/** The adapter of a PEFT folder. @throws UserError where it cannot be read, or was made for a model of another shape */
export function loadAdapter(folder: string, model: Pick<ModelDescription, 'linears' | 'weights'>): LoraAdapter {
  const { config, weights } = readPeftFolder(folder)
  const adapter = { config, weights: inPresentLayout(weights, model.linears) }
  const expected = adapterShapes(adapter.config, model)
  for (const name of new Set([...Object.keys(expected), ...Object.keys(adapter.weights)])) {
    const [wanted, found] = [expected[name], adapter.weights[name]?.shape]
    if (`${wanted}` === `${found}`) continue
    const what = found ? `has shape [${found}]` : 'is missing'
    throw new UserError({
      what: `${name} ${what}, and the model ${wanted ? `needs [${wanted}]` : 'has no such layer'}`,
      where: folder,
      fix: 'use it with the model that it was trained on',
    })
  }
  return adapter
}

/** One number for all that a PEFT folder says. @throws UserError where there is no readable adapter */
export function hashOfAdapter(folder: string): string {
  readPeftFolder(folder) // says what is missing, where the hash alone would only fail or differ
  const hash = createHash('sha256')
  for (const file of adapterFiles) hash.update(readFileSync(join(folder, file)))
  return hash.digest('hex')
}

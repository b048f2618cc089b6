/** @file The adapter alone, as Python's PEFT has it. */
import { writePeftFolder } from '../adapters/peft.ts'
import { UserError } from '../errors.ts'
import { loadAdapter } from '../models/load-adapter.ts'
import { modelFiles } from '../models/model-files.ts'
import type { Exporter } from './export-policy.ts'
import { scoreTexts } from './held-out.ts'
import { openMerged } from './policy.ts'
import { precisions } from './precision.ts'

export const peftExporter: Exporter = {
  async check({ adapter }) {
    if (!adapter)
      throw new UserError({ what: 'there is no adapter to export', fix: 'name a run, or give one with --adapter' })
    if (adapter.config.everyWeight)
      throw new UserError({
        what: 'every weight was trained, which PEFT has no adapter for',
        fix: 'export with --merged',
      })
  },
  write({ path, description, adapter }, folder) {
    writePeftFolder(folder, adapter!, { baseModel: modelFiles(path).name, layers: description.linears })
  },
  async open(policy, folder, _texts, threads) {
    const copy = { ...policy, adapter: loadAdapter(folder, policy.description) }
    const merged = openMerged(copy)
    return {
      where: folder,
      precision: 'float32',
      read: (name) => ({ values: merged.read(name).data as Float32Array, precision: precisions.float32 }),
      logProbabilities: (texts) => scoreTexts(copy, texts, threads),
      close: () => merged.close(),
    }
  },
}

/**
 * Adapters that PEFT 0.21 saved, with ranks and alphas by pattern and rank-stabilised scales, on the golden checkpoints;
 * `logits.json` is what PEFT computed with them.
 */
import { readFileSync } from 'node:fs'
import { expect, test } from 'vitest'
import { describeModel, loadWeights } from '../src/models/language-model.ts'
import { loadAdapter } from '../src/models/load-adapter.ts'
import { textLogits } from '../src/models/score.ts'

const golden = new URL('./golden/', import.meta.url).pathname
const TOLERANCE = 1e-4 // float32 sums in another order; the adapters move logits by 5 (llama) and 15 (gpt2)

test.each(['llama', 'gpt2'])(
  '%s gives the logits of PEFT with rank_pattern, alpha_pattern and use_rslora',
  async (name) => {
    const folder = `${golden}checkpoints/${name}`
    const { tokens, logits } = JSON.parse(readFileSync(`${golden}peft-patterns/${name}/logits.json`, 'utf8'))
    const model = describeModel(folder)
    const adapter = loadAdapter(`${golden}peft-patterns/${name}`, model)
    expect(adapter.config).toMatchObject({ rankStabilised: true, rankPattern: expect.anything() })
    const { lanes } = await loadWeights(folder, model, { threads: 1 })
    try {
      const ours = await lanes.use((lane) => textLogits(lane, { model, adapter }, tokens))
      expect(ours.length).toBe(logits.length)
      expect(Math.max(...ours.map((value, i) => Math.abs(value - logits[i])))).toBeLessThan(TOLERANCE)
    } finally {
      await lanes.dispose()
    }
  },
)

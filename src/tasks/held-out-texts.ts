import type { LoraAdapter } from '../adapters/lora.ts'
import { seededRandom } from '../random.ts'
import { sampleWithTool } from '../sampling/sample.ts'
import { examplesOf } from './examples.ts'
import { limitsOf, type OpenRun, promptsOf } from './task-run.ts'

const PROMPTS = 8
const SAMPLES = 2 // of each prompt

/** Tokens of a run's first held-out prompts (of training ones where none is held out), each with a latent that its adapter samples and ⊤. */
export async function heldOutTexts(run: OpenRun, adapter: LoraAdapter): Promise<number[][]> {
  const { model, record } = run
  const { heldOut, training } = await examplesOf(run)
  const prompts = promptsOf(run, (heldOut.length > 0 ? heldOut : training).slice(0, PROMPTS))
  const limits = limitsOf(run)
  const sampler = { model: model.description, adapter, ...limits }
  const random = seededRandom(record.training.seed)
  const texts = await model.lanes.each(prompts, async (lane, { tokens }, i) => {
    const draws = random.at('export', i)
    const temperatures = new Array<number>(SAMPLES).fill(1)
    const latents = await sampleWithTool(lane, sampler, { prompt: tokens, temperatures, draws })
    return latents.map((latent) => [...tokens, ...latent.tokens, limits.support.stop])
  })
  return texts.flat()
}

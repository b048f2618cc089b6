import type { LoraAdapter } from '../adapters/lora.ts'
import { seededRandom } from '../random.ts'
import { sampleLatents } from '../sampling/sample.ts'
import { supportOf } from '../trainers/prompts.ts'
import { examplesOf } from './examples.ts'
import { type OpenRun, promptsOf } from './task-run.ts'

const PROMPTS = 8
const SAMPLES = 2 // of each prompt

/** Tokens of a run's first held-out prompts (of training ones where none is held out), each with a latent that its adapter samples and ⊤. */
export async function heldOutTexts(run: OpenRun, adapter: LoraAdapter): Promise<number[][]> {
  const { model, record } = run
  const { heldOut, training } = await examplesOf(run)
  const prompts = promptsOf(run, (heldOut.length > 0 ? heldOut : training).slice(0, PROMPTS))
  const support = supportOf(record.training, model)
  const sampler = { model: model.description, adapter, support }
  const random = seededRandom(record.training.seed)
  const texts = await model.lanes.each(prompts, async (lane, { tokens }, i) => {
    const draws = random.at('export', i)
    const temperatures = new Array<number>(SAMPLES).fill(1)
    const latents = await sampleLatents(lane, sampler, { prompt: tokens, temperatures, draws })
    return latents.map((latent) => [...tokens, ...latent, support.stop])
  })
  return texts.flat()
}

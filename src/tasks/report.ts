/** @file How well a run's adapter draws from the posterior of prompts that it was not trained on, beside the base model. */
import { join } from 'node:path'
import type { LoraAdapter } from '../adapters/lora.ts'
import type { Estimate } from '../evaluation/estimate.ts'
import { type EvaluationSummary, evaluateSamplers, type SamplerResult, summarise } from '../evaluation/evaluate.ts'
import { writePicture } from '../evaluation/pictures/render.ts'
import { writeJson } from '../files.ts'
import { seededRandom } from '../random.ts'
import type { LatentRecord } from '../sampling/latent.ts'
import { examplesOf } from './examples.ts'
import type { Example, Outcome } from './task.ts'
import { latestReference, limitsOf, type OpenRun, promptsOf } from './task-run.ts'
import { targetTemperature } from './weighted-draw.ts'

/** The samplers that are compared; the base model without an adapter is held to the same prompts and limits. */
export const samplerNames = ['base', 'tuned'] as const
type SamplerName = (typeof samplerNames)[number]

export type Report = {
  /** Samples of each sampler for each prompt. */
  samples: number
  /** T of the density R^(1/T) that they are held against. */
  rewardTemperature: number
  seconds: number
  summary: EvaluationSummary
  /** What the task itself reports. */
  outcome?: Outcome
  prompts: PromptReport[]
}

export type PromptReport = {
  example: Example
  logZ: Estimate
  samplers: Record<SamplerName, Omit<SamplerResult, 'samples'> & { samples: ReportedSample[] }>
}

export type ReportedSample = LatentRecord & { text: string; logQ: number; logReward: number }

export type ReportOptions = {
  examples: readonly Example[]
  adapter: LoraAdapter
  samples?: number
  seed?: number
  onPrompt?: (done: number, of: number) => void
}

/** Enough for a Pareto tail of some thirty weights, and few enough for minutes. */
const SAMPLES = 128
/** Of each sampler for each prompt, the first ones, for people to read. */
const REPORTED_SAMPLES = 8

/** Compares a run's adapter with the base model. */
export async function evaluateRun(
  run: OpenRun,
  { examples, adapter, samples = SAMPLES, seed = run.record.training.seed, onPrompt }: ReportOptions,
): Promise<Report> {
  const { model, record, task } = run
  const started = performance.now()
  const rewardTemperature = targetTemperature(record.training)
  const samplers: Record<SamplerName, LoraAdapter | undefined> = { base: undefined, tuned: adapter }
  const reference = latestReference(run)
  const prompts = promptsOf({ ...run, reference }, examples)
  const what = { model, reference, samplers, prompts, ...limitsOf(run), rewardTemperature }
  const random = seededRandom(seed)
  const evaluations = await evaluateSamplers({ ...what, samples, random, onPrompt })
  const { training } = await examplesOf(run)
  const { demonstrations } = record
  const outcome = await task.evaluate?.({ ...what, examples, evaluations, training, demonstrations, random })
  const reported = (result: SamplerResult) => ({
    ...result,
    samples: result.samples.slice(0, REPORTED_SAMPLES).map((sample) => ({
      text: model.tokenizer.decodeContinuation(sample.tokens),
      ...sample,
    })),
  })
  return {
    samples,
    rewardTemperature,
    seconds: (performance.now() - started) / 1000,
    summary: summarise(evaluations),
    ...(outcome && { outcome }),
    prompts: evaluations.map(({ logZ, samplers: { base, tuned } }, i) => ({
      example: examples[i],
      logZ,
      samplers: { base: reported(base), tuned: reported(tuned) },
    })),
  }
}

/** Writes a report into the folder of its run. JSON has no infinity and no NaN: they become null. */
export const writeReport = (folder: string, report: Report) =>
  writeJson(join(folder, 'evaluation.json'), JSON.parse(JSON.stringify(withoutPictures(report))))

export const withoutPictures = ({ outcome, ...report }: Report): Report =>
  outcome ? { ...report, outcome: { ...outcome, pictures: undefined } } : report

/**
 * Writes the pictures of a report into the folder of its run, as SVG and PNG.
 * @returns the PNG files
 * @throws UserError where there are some and the libraries that draw are not installed
 */
export async function writePictures(folder: string, { outcome }: Report): Promise<string[]> {
  const files: string[] = []
  for (const [name, picture] of Object.entries(outcome?.pictures ?? {}))
    files.push((await writePicture(join(folder, name), picture)).png)
  return files
}

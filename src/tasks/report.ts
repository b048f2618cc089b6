/** @file How well a run's adapter draws from the posterior of prompts that it was not trained on, beside the base model. */
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { z } from 'zod'
import type { LoraAdapter } from '../adapters/lora.ts'
import type { BaselineName } from '../baselines/index.ts'
import { compareBaselines } from '../evaluation/equal-compute/compare-baselines.ts'
import type { Estimate } from '../evaluation/estimate.ts'
import {
  type EvaluationSummary,
  evaluateSamplers,
  type PosteriorMoments,
  type SamplerResult,
  summarise,
} from '../evaluation/evaluate.ts'
import type { Picture } from '../evaluation/pictures/picture.ts'
import { writePicture } from '../evaluation/pictures/render.ts'
import type { SentenceEncoder } from '../evaluation/sentence-encoder.ts'
import { readJson, writeJson } from '../files.ts'
import { seededRandom } from '../random.ts'
import type { LatentRecord } from '../sampling/latent.ts'
import { baselinePicture } from './baseline-picture.ts'
import { type BaselineReport, reportBaselines } from './baseline-report.ts'
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
  /** Methods without training, where they were asked for. */
  baselines?: BaselineReport
  prompts: PromptReport[]
}

export type PromptReport = {
  example: Example
  logZ: Estimate
  posterior: PosteriorMoments
  samplers: Record<SamplerName, Omit<SamplerResult, 'samples'> & { samples: ReportedSample[] }>
}

export type ReportedSample = LatentRecord & { text: string; logQ: number; logReward: number }

export type ReportOptions = {
  examples: readonly Example[]
  adapter: LoraAdapter
  samples?: number
  seed?: number
  onPrompt?: (done: number, of: number) => void
  /** Methods without training to compare with. */
  baselines?: BaselineChoice
  /** For what is told by the meaning of texts. */
  encoder?: SentenceEncoder
}

export type BaselineChoice = {
  names: readonly BaselineName[]
  /** Latents that a query wants of each; default: 8, as in the paper. */
  perQuery?: number
  /** Forward tokens for each query. */
  budgets?: readonly number[]
  /** Of the prompts, the first so many are asked; default: 10. */
  queries?: number
  onQuery?: (done: number, of: number) => void
}

/** Enough for a Pareto tail of some thirty weights, and few enough for minutes. */
const SAMPLES = 128
/** Of each sampler for each prompt, the first ones, for people to read. */
const REPORTED_SAMPLES = 8
/** N of section 4.1. */
const PER_QUERY = 8
/** Each is answered by a dozen methods at several budgets. */
const QUERIES = 10

/**
 * Compares a run's adapter with the base model.
 * @param run  with the examples that it learned from, where they have been read; they are read again where not
 */
export async function evaluateRun(
  run: OpenRun & { training?: readonly Example[] },
  {
    examples,
    adapter,
    samples = SAMPLES,
    seed = run.record.training.seed,
    onPrompt,
    baselines,
    encoder,
  }: ReportOptions,
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
  const training = run.training ?? (await examplesOf(run)).training
  const compared =
    baselines &&
    (await compareBaselines({
      ...{ perQuery: PER_QUERY, ...what, ...baselines, evaluations, random, encoder },
      prompts: prompts.slice(0, baselines.queries ?? QUERIES),
    }))
  const outcome = await task.evaluate?.({
    ...what,
    ...{ examples, evaluations, training, demonstrations: record.demonstrations, random },
    ...(compared && { baselines: compared }),
    ...(encoder && { encoder }),
  })
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
    ...(compared && { baselines: reportBaselines(run.folder, compared) }),
    prompts: evaluations.map(({ logZ, posterior, samplers: { base, tuned } }, i) => ({
      example: examples[i],
      logZ,
      posterior,
      samplers: { base: reported(base), tuned: reported(tuned) },
    })),
  }
}

const REPORT_FILE = 'evaluation.json'

/** Writes a report into the folder of its run. JSON has no infinity and no NaN: they become null. */
export const writeReport = (folder: string, report: Report) =>
  writeJson(join(folder, REPORT_FILE), JSON.parse(JSON.stringify(withoutPictures(report))))

/** The last report of a run; undefined where it was not evaluated. @throws UserError for a file that is none */
export function readReport(folder: string): Report | undefined {
  const path = join(folder, REPORT_FILE)
  if (!existsSync(path)) return undefined
  return readJson(path, reportSchema) as unknown as Report // what we write has these two; its numbers may be null
}

const reportSchema = z.looseObject({ summary: z.record(z.string(), z.unknown()), prompts: z.array(z.unknown()) })

export const withoutPictures = ({ outcome, ...report }: Report): Report =>
  outcome ? { ...report, outcome: { ...outcome, pictures: undefined } } : report

/**
 * Writes the pictures of a report into the folder of its run, as SVG and PNG.
 * @returns the PNG files
 * @throws UserError where there are some and the libraries that draw are not installed
 */
export async function writePictures(folder: string, report: Report): Promise<string[]> {
  const { outcome, baselines } = report
  const pictures: Record<string, Picture> = {
    ...outcome?.pictures,
    ...(baselines && { baselines: baselinePicture(undefined, [report]) }),
  }
  const files: string[] = []
  for (const [name, picture] of Object.entries(pictures))
    files.push((await writePicture(join(folder, name), picture)).png)
  return files
}

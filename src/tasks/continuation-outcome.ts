/**
 * @file What continuation reports besides (Hu et al. 2024, section 4.1, Figure 3): diversity by meaning where there is an
 * encoder, and, beside decoding and search, how likely samples are against how diverse.
 */

import { logGramDeterminant, meanPairwiseCosineDistance } from '../evaluation/diversity.ts'
import { summariseMethod } from '../evaluation/equal-compute/compare-baselines.ts'
import { mean } from '../sums.ts'
import { frontierPicture } from './frontier-picture.ts'
import type { Outcome, TaskEvaluation } from './task.ts'

/** N of section 4.1: the Gram determinant of more samples is another. */
const COMPARED = 8

export async function continuationOutcome(evaluation: TaskEvaluation): Promise<Outcome> {
  const { baselines, encoder, samplers } = evaluation
  const figures: Outcome['figures'] = {}
  if (encoder) for (const name of Object.keys(samplers)) figures[name] = await diversityOf(name, evaluation)
  if (!baselines) return { figures }
  const run = { perQuery: baselines.perQuery, methods: baselines.methods.map(summariseMethod) }
  return { figures, pictures: { frontier: frontierPicture([{ name: 'fine-tuned', runs: [run] }], 'continuation') } }
}

/** Means over prompts. */
async function diversityOf(
  sampler: string,
  { evaluations, encoder, model }: TaskEvaluation,
): Promise<Record<string, number>> {
  const embeddings = await Promise.all(
    evaluations.map(({ samplers }) =>
      encoder!.embed(
        samplers[sampler].samples.slice(0, COMPARED).map(({ tokens }) => model.tokenizer.decodeContinuation(tokens)),
      ),
    ),
  )
  return {
    'cosine distance': mean(embeddings.map(meanPairwiseCosineDistance)),
    [`log Gram determinant of ${COMPARED}`]: mean(embeddings.map(logGramDeterminant)),
  }
}

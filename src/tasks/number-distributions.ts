/** @file The exact distributions of samplers over the numbers of a range, by enumeration and not by sampling. */

import { temperedLogQ } from '../baselines/tempered.ts'
import { entropy, normaliseLog } from '../evaluation/divergence.ts'
import { type OutcomeDistribution, outcomeDistribution, spellOutcomes } from '../evaluation/outcomes.ts'
import { numberHistogram } from '../evaluation/pictures/histogram.ts'
import { mean } from '../sums.ts'
import { numbersOf, type Range } from './number-range.ts'
import type { Outcome, TaskEvaluation } from './task.ts'

/** Tried for the base model; the one that suits it best is shown. */
const TEMPERATURES = [0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1, 1.25, 1.5, 2, 3, 5, 10]

type Given = Pick<TaskEvaluation, 'model' | 'support' | 'samplers' | 'prompts'>

/**
 * KL to and from the uniform distribution, valid mass and entropy of every sampler, means over prompts; a picture of the
 * first prompt. The tempered base model is shown at the temperature that brings it nearest to uniform on these very
 * prompts: a choice in its favour.
 * @param ranges  one for each prompt
 */
export async function evaluateNumbers(given: Given, ranges: readonly Range[]): Promise<Outcome> {
  const { model, support, samplers, prompts } = given
  const outcomes = ranges.map((range) => numbersOf(range).map((number) => [number]))
  const exact: Record<string, OutcomeDistribution[]> = {}
  for (const [name, adapter] of Object.entries(samplers)) {
    exact[name] = []
    for (const [i, { tokens }] of prompts.entries())
      exact[name].push(await outcomeDistribution({ model, adapter, support }, tokens, outcomes[i]))
  }
  const { temperature, distributions } = await temperedBase(given, outcomes)
  const temperedName = `base at temperature ${temperature}`
  const all = { ...exact, [temperedName]: distributions }
  const uniform = mean(outcomes.map(({ length }) => Math.log(length)))
  const ofFirst = ([name, [{ logP, validMass }]]: [string, OutcomeDistribution[]]) => ({
    name: `${name}: ${(100 * validMass).toPrecision(3)} % valid`,
    probabilities: logP.map(Math.exp),
  })
  return {
    figures: Object.fromEntries(Object.entries(all).map(([name, distributions]) => [name, figuresOf(distributions)])),
    notes: [
      `exact, by enumeration of every tokenisation; nats. Uniform: KL 0, valid mass 1, entropy ${uniform.toFixed(3)}`,
      `${temperedName}: of ${TEMPERATURES.join(', ')} the one with the smallest KL(uniform ‖ q) on these prompts`,
    ],
    pictures: {
      numbers: numberHistogram(
        { title: prompts[0].name, subtitle: 'exact probabilities; dashed: uniform' },
        Object.entries(all).map(ofFirst),
        { first: ranges[0].from },
      ),
    },
  }
}

/** What is reported of a sampler, means over prompts, nats; entropy and KL(q ‖ uniform) given that the number is valid. */
function figuresOf(distributions: readonly OutcomeDistribution[]): Record<string, number> {
  const over = (of: (one: OutcomeDistribution) => number) => mean(distributions.map(of))
  return {
    'KL(q ‖ uniform)': over(({ klToUniform }) => klToUniform),
    'KL(uniform ‖ q)': over(({ klFromUniform }) => klFromUniform),
    'valid mass': over(({ validMass }) => validMass),
    entropy: over(({ logP }) => entropy(normaliseLog(logP))),
  }
}

async function temperedBase({ model, support, prompts }: Given, outcomes: readonly (readonly string[])[][]) {
  const spelled = outcomes.map((texts) => spellOutcomes(model.tokenizer, support, texts))
  const tried: { temperature: number; distributions: OutcomeDistribution[]; distance: number }[] = []
  for (const temperature of TEMPERATURES) {
    const distributions = await model.lanes.each(spelled, async (lane, { latents, distributionOf }, i) => {
      const given = { prompt: prompts[i].tokens, latents, temperature }
      return distributionOf(await temperedLogQ(lane, { model: model.description, support }, given))
    })
    tried.push({ temperature, distributions, distance: mean(distributions.map(({ klFromUniform }) => klFromUniform)) })
  }
  return tried.reduce((best, one) => (one.distance < best.distance ? one : best))
}

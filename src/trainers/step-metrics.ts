/** @file What a step has to tell in numbers. */

import { distinctFraction } from '../evaluation/diversity.ts'
import { terminalLogReward } from '../gflownet/trajectory.ts'
import { mean } from '../sums.ts'
import type { StepMetrics } from './events.ts'
import type { Result, Run } from './methods/method.ts'
import type { TrainingState } from './state.ts'

/** @param results of the first round; `rounds`: of all */
export function measure(
  run: Run,
  { step, buffer, optimizer }: TrainingState,
  { results, rounds }: Record<'results' | 'rounds', readonly Result[]>,
  { gradientNorm, started }: { gradientNorm: number; started: number },
): StepMetrics {
  const fresh = results.flatMap(({ batch }) => batch.fresh)
  const own = results.flatMap(({ batch, learned }) =>
    batch.fresh.flatMap((trajectory, n) =>
      trajectory.source === 'policy' ? [{ trajectory, ...learned.scores[n] }] : [],
    ),
  )
  const seconds = (of: (result: Result) => number) => results.reduce((sum, result) => sum + of(result), 0)
  return {
    'loss/objective': mean(results.map(({ learned }) => learned.loss)),
    'reward/logMean': mean(own.map(({ trajectory }) => terminalLogReward(trajectory))),
    'policy/logMean': mean(own.map(({ logQ }) => logQ)),
    'policy/firstTokenEntropy': mean(own.map(({ logTokens, logStop }) => -(logTokens[0] ?? logStop[0]))),
    'samples/distinctFraction': mean(
      results.map(({ batch }) => distinctFraction(batch.fresh.map(({ tokens }) => tokens))),
    ),
    'samples/count': fresh.length,
    'samples/length': mean(fresh.map(({ tokens }) => tokens.length)),
    'replay/stored': Object.values(buffer.prompts).reduce((sum, kept) => sum + kept.length, 0),
    'optim/gradientNorm': gradientNorm,
    'optim/learningRate': run.learningRate(optimizer.step - 1),
    'schedule/rewardTemperature': run.rewardTemperature(step - 1),
    'time/sampleSeconds': seconds(({ batch }) => batch.seconds.sample),
    'time/rewardSeconds': seconds(({ batch }) => batch.seconds.reward),
    'time/learnSeconds': rounds.reduce((sum, { learnSeconds }) => sum + learnSeconds, 0),
    'time/stepSeconds': (performance.now() - started) / 1000,
    ...meanFigures(rounds),
  }
}

/** Means over prompts and rounds of what a method tells besides. */
const meanFigures = (results: readonly Result[]): Record<string, number> =>
  Object.fromEntries(
    Object.keys(results[0].learned.figures ?? {}).map((name) => [
      name,
      mean(results.map(({ learned }) => learned.figures![name])),
    ]),
  )

/** The first latents of a prompt that the policy itself sampled. */
export const recordsOf = ({ batch: { prompt, fresh }, learned }: Result) =>
  fresh
    .map((trajectory, n) => ({ trajectory, logQ: learned.scores[n].logQ }))
    .filter(({ trajectory }) => trajectory.source === 'policy')
    .slice(0, 2)
    .map(({ trajectory, logQ }) => ({
      prompt: prompt.name,
      tokens: trajectory.tokens,
      logQ,
      logReward: terminalLogReward(trajectory),
    }))

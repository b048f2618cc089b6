/** @file The two problems on which quality is held against seconds: one whose truth is known exactly, and one story. */
import type { LoraAdapter } from '../../src/adapters/lora.ts'
import { totalVariation } from '../../src/evaluation/divergence.ts'
import {
  estimateLogPartition,
  type LogPartition,
  logWeights,
  mixtureLogWeights,
} from '../../src/evaluation/log-partition.ts'
import { outcomeDistribution } from '../../src/evaluation/outcomes.ts'
import { drawPool } from '../../src/evaluation/pool.ts'
import type { LanguageModel } from '../../src/models/language-model.ts'
import { seededRandom } from '../../src/random.ts'
import type { Support } from '../../src/sampling/support.ts'
import { infilling } from '../../src/tasks/infilling.ts'
import { numbersOf, rangeOf } from '../../src/tasks/number-range.ts'
import { randomNumbers, uniformDensity } from '../../src/tasks/random-numbers.ts'
import type { Example, TaskPrompt } from '../../src/tasks/task.ts'
import { parseTrainingConfig, type TrainingConfig, type TrainingOptions } from '../../src/trainers/config.ts'
import { type Prompt, resolvePrompts, supportOf } from '../../src/trainers/prompts.ts'

/** A reward as a peer reads it: log R of token sequences, or the text that is to follow. */
export type PeerReward =
  | { kind: 'table'; entries: [tokens: number[], logReward: number][]; otherwise: number; perToken: number }
  | { kind: 'ending'; prompt: readonly number[]; ending: readonly number[] }

/** How far a sampler is from its target: the total variation, or weights, of which with log Z the divergence is made. */
export type Distance = { totalVariation: number } | { logWeights: Float64Array }

type Options = TrainingOptions & { steps: number; samplesPerPrompt: number }

export type Problem = {
  input: TaskPrompt
  prompt: Prompt
  support: Support
  reward: PeerReward
  /** What contestants of ours begin from. */
  options: Options
  distance: (adapter: LoraAdapter) => Promise<Distance>
  /** log Z by several samplers together, where it is not enumerated. */
  logPartition?: (samplers: readonly LoraAdapter[]) => Promise<LogPartition>
}

export const problemNames = ['random-numbers', 'infilling'] as const
export type ProblemName = (typeof problemNames)[number]

/** One prompt an update; each for as many steps. */
const common = { promptsPerStep: 1, rewardTemperature: 1 }

/** Steps of a run, over which the learning rate falls, and latents of each; default: the problem's. */
type Size = { steps: number; latents?: number }

export function openProblem(name: ProblemName, model: LanguageModel, size: Size): Problem {
  return name === 'random-numbers' ? numbersProblem(model, size) : storyProblem(model, size)
}

function opened(model: LanguageModel, input: TaskPrompt, options: Options) {
  const config: TrainingConfig = parseTrainingConfig(options, 'problem')
  const [prompt] = resolvePrompts([input], { model, maxTokens: config.latent.maxTokens })
  return { input, prompt, support: supportOf(config, model), options }
}

/** Latents of up to three tokens; the truth is enumerated. */
function numbersProblem(model: LanguageModel, { steps, latents = 64 }: Size): Problem {
  const [example] = randomNumbers.examples as readonly Example[]
  const options: Options = {
    ...common,
    ...{ steps, samplesPerPrompt: latents },
    sources: { tempered: 0, replay: 0 }, // as the paper's code has them for numbers
    optimizer: { learningRate: { from: 1e-3, to: 1e-5, shape: 'cosine' }, maxGradientNorm: 1 },
    latent: { stop: '\n', minTokens: 0, maxTokens: 3 }, // the empty one is a state of the paper's, too
  }
  const problem = opened(model, randomNumbers.prompt(example, model), options)
  const range = rangeOf(example)
  const numbers = numbersOf(range)
  const { ofNumber, otherwise, perToken } = uniformDensity(range, model.tokenizer)
  return {
    ...problem,
    reward: {
      kind: 'table',
      entries: numbers.map((number) => [model.tokenizer.encodeContinuation(number), ofNumber]),
      otherwise,
      perToken,
    },
    distance: async (adapter) => {
      const outcomes = numbers.map((number) => [number])
      const sampler = { model, adapter, support: problem.support }
      const { logP, validMass } = await outcomeDistribution(sampler, problem.prompt.tokens, outcomes)
      const invalid = Math.log(Math.max(Number.MIN_VALUE, 1 - validMass))
      const uniform = [...numbers.map(() => ofNumber), Number.NEGATIVE_INFINITY]
      return { totalVariation: totalVariation(uniform, [...logP, invalid]) }
    },
  }
}

const STORY = {
  beginning:
    'Tom wanted to fly his new kite in the park. There was no wind at all in the morning. He sat down on a bench under an old tree and ate the bread that his mother had given him.',
  ending: 'In the evening the kite was high above the trees.',
}
/** Latents by which a sampler of the story is judged. */
const JUDGED = 128

/** Latents of up to fifteen tokens between the beginning of a story and its ending, which is scored after every prefix: as in the race. */
function storyProblem(model: LanguageModel, { steps, latents = 64 }: Size): Problem {
  const options: Options = {
    ...common,
    ...{ steps, samplesPerPrompt: latents, latent: { stop: '.', minTokens: 0, maxTokens: 15 } },
    // As the paper's code has them for stories. Its buffer, too, holds fewer latents than a step has.
    sources: { tempered: 0.5, replay: 0.25, temperatures: { from: 0.5, to: 2 } },
    replay: { capacity: Math.ceil((latents * 50) / 64) },
    optimizer: { learningRate: { from: 1e-3, to: 1e-4, shape: 'cosine' }, maxGradientNorm: 1 },
  }
  const problem = opened(model, infilling.prompt(STORY, model), options)
  const { prompt, support } = problem
  const ending = model.tokenizer.encodeContinuation(` ${STORY.ending}`)
  return {
    ...problem,
    // The policy's prompt is the ending and then the beginning; the reward reads the beginning, the latent, ⊤ and the ending.
    reward: { kind: 'ending', prompt: prompt.tokens.slice(ending.length), ending: [support.stop, ...ending] },
    distance: async (adapter) => {
      const { logReward, logSamplers } = await pool([adapter])
      return { logWeights: logWeights({ logReward, logSampler: logSamplers[0] }) }
    },
    logPartition: async (samplers) => estimateLogPartition(mixtureLogWeights(await pool(samplers))),
  }

  /** What each sampler draws when it is judged. */
  function pool(samplers: readonly LoraAdapter[]) {
    const parts = samplers.map((adapter) => ({ adapter, count: JUDGED, draws: seededRandom(0).at('judged') }))
    return model.lanes.use((lane) => drawPool(lane, { model, support, rewardTemperature: 1 }, prompt, parts))
  }
}

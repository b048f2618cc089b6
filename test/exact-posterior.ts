/** @file A problem small enough to know its posterior exactly: twelve words, latents of up to three of them. */
import {
  compareExactly,
  type EnumeratedProblem,
  enumerateLatents,
  enumeratePolicy,
  enumerateRewards,
} from '../src/evaluation/enumerate.ts'
import type { ObjectiveName } from '../src/gflownet/objectives.ts'
import type { LanguageModel } from '../src/models/language-model.ts'
import { power, product } from '../src/rewards/compose.ts'
import { constrained } from '../src/rewards/constrained.ts'
import { contrastive } from '../src/rewards/contrastive.ts'
import { explicit } from '../src/rewards/explicit.ts'
import { fewShotPosterior } from '../src/rewards/few-shot.ts'
import { labelLikelihood } from '../src/rewards/label-likelihood.ts'
import { labelPosterior } from '../src/rewards/label-posterior.ts'
import { lengthPrior } from '../src/rewards/length-prior.ts'
import { posterior } from '../src/rewards/posterior.ts'
import { reverse } from '../src/rewards/reverse.ts'
import type { Reward } from '../src/rewards/reward.ts'
import { tempered } from '../src/rewards/tempered.ts'
import { words } from '../src/rewards/words.ts'
import type { TrainingOptions } from '../src/trainers/config.ts'
import { parseTrainingConfig } from '../src/trainers/config.ts'
import { supportOf } from '../src/trainers/prompts.ts'
import { fineTune } from '../src/trainers/train.ts'

export const modelFolder = new URL('../models/stories260K', import.meta.url).pathname

/** The two that every objective is trained on. */
export const rewards: Record<string, Reward> = {
  tempered: tempered(),
  posterior: posterior({ ending: ' They were very happy.' }),
}
/** Chosen so that the posteriors have more than three nats of entropy: a peaked one would prove little. */
export const TEMPERATURE = 3

const labels = { endings: { happy: ' They were very happy.', sad: ' They were very sad and cold.' }, label: 'sad' }
/** One of each of the others. */
export const otherRewards: Record<string, Reward> = {
  reverse: reverse({ ending: ' They were very happy.' }),
  'few-shot posterior': fewShotPosterior({
    demonstrations: ['Tom had a dog. He was so happy.', 'Sue saw a big cat. She wanted to play.'],
    ending: ' They were very happy.',
    stopInText: false,
  }),
  contrastive: contrastive({ conditional: 1.5, unconditional: -0.5 }),
  'constrained by a function': constrained({ constraints: [explicit((text) => (text.includes(' big') ? 3 : 0))] }),
  'constrained by words': constrained({
    constraints: [words({ required: ['happy'], forbidden: ['was'], penalty: 4 }), lengthPrior({ mean: 2 })],
  }),
  'constrained by a label': constrained({ constraints: [labelLikelihood(labels)] }),
  'label posterior': labelPosterior({ ...labels, normalised: true }),
  'explicit function': explicit((text) => 2 * Math.sin(text.length) + (text.endsWith(' so') ? 9 : 0)),
  'product and power': product(power(posterior({ ending: ' She was sad.' }), 0.5), power(tempered(), 0.5)),
}

const BEGINNING = 'Once upon a time, there was a little girl named Lily. She'
const WORDS = [' was', ' and', ' to', ' play', ' saw', ' the', ' a', ' big', ' with', ' it', ' happy', ' so']

/** The problem with the first `words` of the twelve tokens and latents of up to `maxTokens`. */
export function exactProblem(
  model: LanguageModel,
  words = 12,
  maxTokens = 3,
): { problem: EnumeratedProblem; options: TrainingOptions } {
  const allowedTokens = WORDS.slice(0, words).map((word) => {
    const tokens = model.tokenizer.encodeContinuation(word)
    if (tokens.length !== 1) throw new Error(`"${word}" is not one token`)
    return tokens[0]
  })
  const options = { latent: { allowedTokens, minTokens: 0, maxTokens } }
  const support = supportOf(parseTrainingConfig(options, 'problem'), model)
  const prompt = model.tokenizer.encode(BEGINNING, { addSpecialTokens: true })
  const latents = enumerateLatents(support, model.description.dimensions.vocabulary)
  return { problem: { model, support, prompt, latents }, options }
}

/** Trains one objective and compares its sampler with the exact posterior before and after. */
export async function trainExactly(
  { problem, options }: ReturnType<typeof exactProblem>,
  {
    reward,
    temperature,
    objective,
    steps,
    samples,
    seed,
  }: { reward: Reward; temperature: number; objective: ObjectiveName; steps: number; samples: number; seed: number },
) {
  const target = await enumerateRewards(problem, reward, temperature)
  const before = compareExactly(target, await enumeratePolicy(problem))
  const run = fineTune({
    ...options,
    model: problem.model,
    prompts: [problem.prompt],
    reward,
    seed,
    steps,
    promptsPerStep: 1,
    samplesPerPrompt: samples,
    sources: { tempered: 0.5, replay: 0, temperatures: { from: 1.5, to: 3 } },
    rewardTemperature: temperature,
    objective: { name: objective },
    optimizer: { learningRate: { from: 2e-3, to: 2e-5, steps, shape: 'cosine' }, maxGradientNorm: 10 },
  })
  for await (const event of run) {
    if (event.kind !== 'finished') continue
    const { adapter } = event.state
    const logQ = await enumeratePolicy(problem, adapter)
    return { before, adapter, logQ, after: compareExactly(target, logQ) }
  }
  throw new Error('the run ended without its last event')
}

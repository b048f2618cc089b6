/**
 * @file A latent-variable problem whose best marginal likelihood is known: one X, answers Y that occur in given proportions, and a
 * short latent Z between them. Σ_z p(z ⊤ y | x) over answers of which none begins another is at most 1, so that the mean of
 * log p(Y | X) is at most −H(Y), and a reference model that is free enough comes as close as it likes.
 */
import type { LoraAdapter } from '../src/adapters/lora.ts'
import { entropy } from '../src/evaluation/divergence.ts'
import {
  compareExactly,
  type EnumeratedProblem,
  enumerateLatents,
  enumeratePolicy,
  enumerateRewards,
} from '../src/evaluation/enumerate.ts'
import { logSumExp } from '../src/log-space.ts'
import type { LanguageModel } from '../src/models/language-model.ts'
import { underReference } from '../src/rewards/compose.ts'
import { posterior } from '../src/rewards/posterior.ts'
import type { Reward } from '../src/rewards/reward.ts'
import { parseTrainingConfig, type TrainingOptions } from '../src/trainers/config.ts'
import { supportOf } from '../src/trainers/prompts.ts'
import { type FineTuneOptions, fineTune } from '../src/trainers/train.ts'

const BEGINNING = 'Once upon a time, there was a little girl named Lily. She'
const WORDS = [' was', ' saw', ' big', ' happy', ' it', ' so']
/** Each stands for one example. */
const ANSWERS = [' They played.', ' They played.', ' He ran.', ' The dog was sad.']

/** log p(Y | X) at the best, mean over examples, nats. */
export const OPTIMUM = -entropy(
  [...new Set(ANSWERS)].map((answer) => Math.log(ANSWERS.filter((other) => other === answer).length / ANSWERS.length)),
)

export function latentVariableProblem(model: LanguageModel, options: TrainingOptions) {
  const { tokenizer, description } = model
  const given: TrainingOptions = {
    latent: { allowedTokens: WORDS, maxTokens: 2 },
    promptsPerStep: ANSWERS.length,
    samplesPerPrompt: 16,
    rewardTemperature: 1,
    ...options,
  }
  const beginning = tokenizer.encode(BEGINNING, { addSpecialTokens: true })
  // As in infilling, the policy reads Y before X, and the reference model does not
  const prompts = ANSWERS.map((text, i) => ({
    name: `${i}`,
    prompt: [...tokenizer.encodeContinuation(text), ...beginning],
    reward: posterior({ beginning, ending: text }),
    answer: { text, beginning },
  }))
  const support = supportOf(parseTrainingConfig(given, 'problem'), model)
  const latents = enumerateLatents(support, description.dimensions.vocabulary)
  const meanOver = async (of: (problem: EnumeratedProblem, reward: Reward) => Promise<number>) => {
    const each = await Promise.all(prompts.map(({ prompt, reward }) => of({ model, support, prompt, latents }, reward)))
    return each.reduce((sum, value) => sum + value, 0) / each.length
  }
  const under = (reward: Reward, reference?: LoraAdapter) => (reference ? underReference(reward, reference) : reward)
  return {
    prompts,
    support,
    run: (further: Partial<FineTuneOptions> = {}) => fineTune({ ...given, model, prompts, ...further }),
    /** Mean of log p(Y | X) = log Σ_z p(z ⊤ Y | X) under the reference model with an adapter, nats: exact. */
    logEvidence: (reference?: LoraAdapter) =>
      meanOver(async (problem, reward) => logSumExp(await enumerateRewards(problem, under(reward, reference)))),
    /** Mean of KL(q ‖ posterior) of a policy, nats: exact. */
    policyGap: (policy: LoraAdapter, reference?: LoraAdapter) =>
      meanOver(async (problem, reward) => {
        const logReward = await enumerateRewards(problem, under(reward, reference))
        return compareExactly(logReward, await enumeratePolicy(problem, policy)).klToPosterior
      }),
  }
}

/** What a run came to: log p(Y | X) before the first round and after each, and how far its policy is from the last posterior. */
export async function evidenceByRound({ run, logEvidence, policyGap }: ReturnType<typeof latentVariableProblem>) {
  const evidence = [await logEvidence()]
  let [round, gap] = [0, Number.NaN]
  for await (const event of run()) {
    if (event.kind === 'finished') gap = await policyGap(event.state.adapter, event.state.reference?.adapter)
    if (event.kind !== 'checkpoint' && event.kind !== 'finished') continue
    const isAfterRound = event.kind === 'finished' || event.phase?.name === 'maximisation'
    if (!isAfterRound) continue
    round++
    evidence.push(await logEvidence(event.state.reference?.adapter))
  }
  return { evidence, gap, rounds: round }
}

/**
 * @file The M-step of expectation-maximisation (Hu et al. 2024, section 3.3): the reference model's own adapter θ learns the texts
 * X Z Y by maximum likelihood, where Z is what the policy samples for X. The policy stays as it is meanwhile.
 */
import type { LoraAdapter } from '../adapters/lora.ts'
import { UserError } from '../errors.ts'
import { learnStep } from '../gflownet/learn-step.ts'
import { scoreUnderPolicy } from '../gflownet/policy.ts'
import { emptyBuffer } from '../gflownet/replay-buffer.ts'
import { type Trajectory, unrewarded } from '../gflownet/trajectory.ts'
import { describeContext } from '../models/architecture.ts'
import type { Inserted, Latent } from '../sampling/latent.ts'
import { sampleWithTool } from '../sampling/sample.ts'
import type { Support } from '../sampling/support.ts'
import type { Collected } from './collected.ts'
import type { TrainingConfig } from './config.ts'
import type { Method, Run } from './methods/method.ts'
import type { Answer, Prompt } from './prompts.ts'

/** @param policy the adapter whose latents are learned from, as it is when a step asks for it */
export const maximisation = (
  { samples, answerOnly }: TrainingConfig['em'],
  policy: () => LoraAdapter,
): Method<Collected> => ({
  rounds: () => 1,
  withoutRewards: true,
  usable: async (run) => {
    refuseOtherLikelihood(run)
    for (const prompt of run.prompts) refuseUnanswered(prompt, run, samples)
    return { prompts: run.prompts }
  },
  begin: async ({ config }) => ({ buffer: emptyBuffer(config.replay) }),
  collect: async (lane, { model, support, tool, random }, { step }, prompt, place) => {
    const started = performance.now()
    const sampler = { model: model.description, adapter: policy(), support, tool }
    const temperatures = new Array<number>(samples).fill(1)
    const draws = random.at('sample', step, place)
    const sampling = { prompt: prompt.tokens, temperatures, draws }
    const drawn = samples === 0 ? [] : await sampleWithTool(lane, sampler, sampling)
    const seconds = { sample: (performance.now() - started) / 1000, reward: 0 }
    return { prompt, fresh: drawn.map((latent) => unrewarded(latent, 'policy')), seconds }
  },
  learn: async (lane, { model: { description: model }, support }, { adapter }, { prompt, fresh }) => {
    const answer = prompt.answer!
    const texts = samples === 0 ? [alone(answer)] : fresh.map((latent) => textOf(latent, answer, support, answerOnly))
    const policyScores =
      samples === 0
        ? []
        : await scoreUnderPolicy(lane, { model, adapter: policy(), support }, latentsOf(prompt.tokens, fresh))
    const objective = { name: 'maximum-likelihood', lambda: 1 } as const
    const learned = await learnStep(
      lane,
      { model, adapter, support: endingWith(answer), objective },
      latentsOf(answer.beginning, texts),
    )
    // A lower bound of log p(Y | X), exact where the policy is the posterior (and without latents)
    const gaps = learned.scores.map(({ logQ }, n) => logQ - (policyScores[n]?.logQ ?? 0))
    const lowerBound = gaps.reduce((sum, gap) => sum + gap, 0) / gaps.length
    return { ...learned, scores: policyScores, ...(!answerOnly && { figures: { 'evidence/lowerBound': lowerBound } }) }
  },
  remember: () => ({}),
})

const latentsOf = (
  prompt: readonly number[],
  texts: readonly { tokens: readonly number[]; inserted?: Inserted }[],
) => ({
  prompt,
  latents: texts.map(({ tokens }) => tokens),
  inserted: texts.map(({ inserted = [] }) => inserted),
})

/**
 * Z ⊤ Y as one latent of a policy whose ⊤ is the last token of Y: log q of it is then log p(Z ⊤ Y | X), or, where Z and ⊤ are
 * taken as given like what a tool inserts, log p(Y | X Z ⊤).
 */
function textOf(latent: Trajectory, answer: Answer, { stop }: Support, answerOnly: boolean): Latent {
  const { stopInText = true, countInserted = true } = answer
  const before = [...latent.tokens, ...(stopInText ? [stop] : [])]
  return {
    tokens: [...before, ...alone(answer).tokens],
    inserted: answerOnly ? [...before.keys()] : countInserted ? [] : (latent.inserted ?? []),
  }
}

/** Y after X. */
const alone = ({ tokens }: Answer): Latent => ({ tokens: tokens.slice(0, -1), inserted: [] })

/** No limits: likelihoods are those of the whole vocabulary, as in rewards. */
const endingWith = ({ tokens }: Answer): Support => ({
  stop: tokens[tokens.length - 1],
  minTokens: 0,
  maxTokens: Number.POSITIVE_INFINITY,
})

function refuseOtherLikelihood({ support }: Run): void {
  if (!support.renormaliseReward) return
  throw new UserError({
    what: 'em does not go with latent.renormaliseReward: it learns the likelihood of the whole vocabulary, and rewards would be of another',
    where: 'config',
    fix: 'do without one of them',
  })
}

function refuseUnanswered({ name, answer }: Prompt, { model, support }: Run, samples: number): void {
  const refuse = (what: string, fix: string): never => {
    throw new UserError({ what, where: `prompt "${name}"`, fix })
  }
  const { beginning = [], tokens = [] } = answer ?? {}
  if (tokens.length === 0)
    refuse('it has no answer, which expectation-maximisation learns', 'give answers, or train without em.rounds')
  const latent = samples > 0 ? support.maxTokens + 1 : 0
  const { contextLength } = model.description.dimensions
  if (beginning.length === 0) refuse('nothing stands before its latent', 'give it a beginning')
  if (beginning.length + latent + tokens.length > contextLength)
    refuse(
      `its text takes ${beginning.length} + ${latent} + ${tokens.length} tokens (before the latent, latent, answer); ${model.name} reads ${describeContext(model.description)}`,
      'shorten it, or lower latent.maxTokens',
    )
}

/**
 * @file Supervised fine-tuning: maximum likelihood of latents that are known to be good, within the limits of the policy. ⊤ is
 * learned wherever they leave a choice.
 */
import { UserError } from '../../errors.ts'
import { learnStep } from '../../gflownet/learn-step.ts'
import { emptyBuffer } from '../../gflownet/replay-buffer.ts'
import { unrewarded } from '../../gflownet/trajectory.ts'
import type { Draws } from '../../random.ts'
import { knownLatents, possibleLatents } from '../known-latents.ts'
import type { Method } from './method.ts'

export const sft: Method = {
  rounds: () => 1,
  withoutRewards: true,
  usable: async (run) => {
    const { known, warning } = await knownLatents(run.prompts, run)
    if (known.length > 0) return { prompts: known.map(({ prompt }) => prompt), warning }
    const isGiven = run.prompts.some(({ known }) => known.length > 0)
    throw new UserError({
      what: `supervised fine-tuning learns from known latents, and ${isGiven ? 'none of those that are given could be sampled' : 'no prompt has any'}`,
      where: 'prompts',
      fix: isGiven
        ? 'see the limits in latent: stop, minTokens, maxTokens and the tokens that are allowed'
        : 'give some: column "known" of the data',
    })
  },
  begin: async ({ config }) => ({ buffer: emptyBuffer(config.replay) }),
  collect: async (_lane, run, { step }, prompt, place) => {
    const latents = await possibleLatents(prompt, run)
    const chosen = chooseSome(latents, run.config.samplesPerPrompt, run.random.at('known', step, place))
    return { prompt, fresh: chosen.map((latent) => unrewarded(latent, 'data')), seconds: { sample: 0, reward: 0 } }
  },
  learn: (lane, { model, support }, { adapter }, { prompt, fresh }) =>
    learnStep(
      lane,
      { model: model.description, adapter, support, objective: { name: 'maximum-likelihood', lambda: 1 } },
      {
        prompt: prompt.tokens,
        latents: fresh.map(({ tokens }) => tokens),
        inserted: fresh.map(({ inserted = [] }) => inserted),
      },
    ),
  remember: () => ({}),
}

/** All, where there are no more than `count`; else so many of them, each with the same chance. */
function chooseSome<Item>(items: readonly Item[], count: number, draws: Draws): readonly Item[] {
  if (items.length <= count) return items
  const left = [...items]
  return Array.from({ length: count }, () => left.splice(draws.integer(left.length), 1)[0])
}

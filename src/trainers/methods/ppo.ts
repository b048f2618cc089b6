/**
 * @file PPO with a penalty for leaving the reference model (Ziegler et al. 2019; Schulman et al. 2017), the paper's baseline of
 * reward maximisation. It climbs E_q[log R] − β KL(q ‖ p_ref), log R untempered and of the whole latent.
 *
 * Its optimum is q ∝ p_ref · R^(1/β): not R. It is the GFlowNet's target where R is p_ref · exp(r), r is taken for the reward, and
 * β = 1; with a small β it is the mode of R, wherever β is adapted it is what the KL allows, and where p_ref is skewed it
 * stays so. Which of several equally good latents it ends at is the reference model's choice and chance.
 */

import type { PromptLatents } from '../../gflownet/policy.ts'
import { scoreUnderPolicy } from '../../gflownet/policy.ts'
import { emptyBuffer } from '../../gflownet/replay-buffer.ts'
import { terminalLogReward } from '../../gflownet/trajectory.ts'
import type { Lane } from '../../models/lane.ts'
import { actionsOf } from '../../ppo/actions.ts'
import { type ActionTargets, actionTargets, divergenceOf, type SampledActions } from '../../ppo/advantages.ts'
import { adaptedKlCoefficient } from '../../ppo/kl-coefficient.ts'
import { ppoLearnStep } from '../../ppo/learn-step.ts'
import { scoreWithValues } from '../../ppo/score-with-values.ts'
import { initialValueHead } from '../../ppo/value-head.ts'
import { mean } from '../../sums.ts'
import type { Collected } from '../collected.ts'
import type { TrainingState } from '../state.ts'
import { drawRewarded } from './draw-rewarded.ts'
import type { Method, Run } from './method.ts'

type Batch = Collected & { latents: PromptLatents; sampled: SampledActions[]; targets: ActionTargets[] }

export const ppo: Method<Batch> = {
  rounds: ({ ppo }) => ppo.epochs,
  begin: async ({ config, model, prompts }) => {
    const known = prompts.reduce((sum, prompt) => sum + prompt.known.length, 0)
    return {
      buffer: emptyBuffer(config.replay),
      ...(config.ppo.baseline === 'value-head' && { critic: initialValueHead(model.description.dimensions.width) }),
      ...(known > 0 && {
        warning: {
          what: `PPO learns from its own samples alone: the ${known} known latents have no part in it`,
          fix: 'leave them out, or use another method',
        },
      }),
    }
  },

  collect: async (lane, run, state, prompt, place) => {
    const { config } = run
    const temperatures = new Array<number>(config.samplesPerPrompt).fill(1)
    const asked = () => ({ onlyWhole: true })
    const { fresh, seconds } = await drawRewarded(lane, run, state, prompt, { place, temperatures, asked })
    const latents = {
      prompt: prompt.tokens,
      latents: fresh.map(({ tokens }) => tokens),
      inserted: fresh.map(({ inserted = [] }) => inserted),
    }
    const logRewards = fresh.map(terminalLogReward)
    const sampled = await asSampled(lane, run, state, latents, logRewards)
    return {
      prompt,
      fresh,
      seconds,
      latents,
      sampled,
      targets: actionTargets(sampled, coefficientOf(run, state), config.ppo),
    }
  },

  learn: async (lane, run, state, { latents, sampled, targets }) => {
    const { model, support, config } = run
    const { adapter, critic } = state
    const policy = { model: model.description, adapter, critic, support, settings: config.ppo }
    const { figures, ...learned } = await ppoLearnStep(lane, policy, { ...latents, sampled, targets })
    const named = Object.entries(figures).map(([name, value]) => [`ppo/${name}`, value])
    return {
      ...learned,
      figures: {
        'ppo/kl': meanDivergence(sampled),
        'ppo/klCoefficient': coefficientOf(run, state),
        ...Object.fromEntries(named),
      },
    }
  },

  isEnough: ({ ppo: { stopAtKl } }, results) =>
    stopAtKl !== null && mean(results.map(({ learned }) => learned.figures!['ppo/policyKl'])) > stopAtKl,

  remember: (run, state, results) => {
    const all = results.flatMap(({ batch }) => batch.sampled)
    const seen = { kl: meanDivergence(all), samples: all.length }
    return { klCoefficient: adaptedKlCoefficient(coefficientOf(run, state), seen, run.config.ppo.kl) }
  },
}

/** β of a step. */
const coefficientOf = ({ config }: Run, { klCoefficient }: TrainingState) => klCoefficient ?? config.ppo.kl.coefficient

/** The actions of latents under the policy that drew them, its value head, and the reference model. */
async function asSampled(
  lane: Lane,
  { model: { description: model }, support, config, reference }: Run,
  { adapter, critic }: TrainingState,
  given: PromptLatents,
  logRewards: readonly number[],
): Promise<SampledActions[]> {
  const policy = { model, adapter, support }
  const scored =
    config.ppo.baseline === 'value-head'
      ? await scoreWithValues(lane, { ...policy, critic }, given)
      : { scores: await scoreUnderPolicy(lane, policy, given), values: undefined }
  const ofReference = await scoreUnderPolicy(lane, { model, adapter: reference, support }, given)
  return logRewards.map((logReward, n) => ({
    logQ: actionsOf(scored.scores[n], support, given.inserted?.[n]),
    logReference: actionsOf(ofReference[n], support, given.inserted?.[n]),
    ...(scored.values && { values: scored.values[n] }),
    logReward,
  }))
}

const meanDivergence = (sampled: readonly SampledActions[]) => mean(sampled.map(divergenceOf))

/**
 * @file PPO with a penalty for leaving the reference model (Ziegler et al. 2019; Schulman et al. 2017): the paper's baseline, which
 * maximises reward. It climbs E_q[r] − β KL(q ‖ p_ref), where r = log R of the whole latent, untempered.
 *
 * Its optimum is q ∝ p_ref · exp(r / β), and not R. Both are the same where β = 1 and r is what p_ref lacks of log R: the
 * likelihood of an observation for its posterior, a constraint for constrained text. With a small β all mass goes to the best
 * latents, of equally good ones to those that p_ref prefers: a skewed reference model stays skewed.
 */
import { type PromptLatents, scoreUnderPolicy } from '../../gflownet/policy.ts'
import { emptyBuffer } from '../../gflownet/replay-buffer.ts'
import { type Trajectory, terminalLogReward } from '../../gflownet/trajectory.ts'
import type { Lane } from '../../models/lane.ts'
import { actionsOf } from '../../ppo/actions.ts'
import { type ActionTargets, actionTargets, divergenceOf, type SampledActions } from '../../ppo/advantages.ts'
import { adaptedKlCoefficient } from '../../ppo/kl-coefficient.ts'
import { ppoLearnStep } from '../../ppo/learn-step.ts'
import { scoreWithValues } from '../../ppo/score-with-values.ts'
import { initialValueHead } from '../../ppo/value-head.ts'
import { sampleWithTool } from '../../sampling/sample.ts'
import { checkedRewards } from '../checked-rewards.ts'
import type { TrainingState } from '../state.ts'
import { type Collected, type Method, type Run, rewardContext } from './method.ts'

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
    const { config, support, random, tool } = run
    const started = performance.now()
    const sampler = { model: run.model.description, adapter: state.adapter, support, tool }
    const temperatures = new Array<number>(config.samplesPerPrompt).fill(1)
    const draws = random.at('sample', state.step, place)
    const drawn = await sampleWithTool(lane, sampler, { prompt: prompt.tokens, temperatures, draws })
    const tokens = drawn.map(({ tokens }) => tokens)
    const inserted = drawn.map(({ inserted }) => inserted)
    const scoring = performance.now()
    const context = { ...rewardContext(lane, run, prompt.tokens), onlyWhole: true, ...(tool && { inserted }) }
    const { logReward } = checkedRewards(await prompt.reward.score(context, tokens), tokens, context, prompt)
    const fresh = drawn.map(
      ({ tokens, inserted }, n): Trajectory => ({
        tokens,
        ...(inserted.length > 0 && { inserted }),
        logReward: logReward[n],
        source: 'policy',
      }),
    )
    const seconds = { sample: (scoring - started) / 1000, reward: (performance.now() - scoring) / 1000 }
    const latents = { prompt: prompt.tokens, latents: tokens, inserted }
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
const mean = (values: readonly number[]) => values.reduce((sum, value) => sum + value, 0) / values.length

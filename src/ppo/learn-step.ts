/**
 * @file PPO's learn step as one graph: packed forward pass of the policy and its value head, the clipped losses, and the
 * gradients of the LoRA matrices and the value head. As in TRL the value head shares the model's layers, and its error is
 * learned from by them, too.
 */
import type { LoraAdapter, LoraConfig } from '../adapters/lora.ts'
import type { LearnResult } from '../gflownet/learn-step.ts'
import { gradientOutputs, gradientsIn } from '../gflownet/named-gradients.ts'
import {
  PREFIXES,
  type PromptLatents,
  policyFeeds,
  policyInputTypes,
  policyLogProbabilities,
  scoresOf,
  yesNo,
} from '../gflownet/policy.ts'
import type { ModelDescription } from '../models/architecture.ts'
import type { Lane } from '../models/lane.ts'
import { adapterInputs } from '../models/linear.ts'
import { bool, float32, type NamedTensors } from '../runtime/host-tensor.ts'
import { isConstrained, type Support } from '../sampling/support.ts'
import { add, concat, mul, where, zeros } from '../tensor/ops/index.ts'
import { buildProgram } from '../tensor/program.ts'
import type { TensorType } from '../tensor/tensor.ts'
import { actionGrid } from './actions.ts'
import type { ActionTargets, SampledActions } from './advantages.ts'
import type { PpoConfig } from './config.ts'
import { surrogate, valueLoss } from './losses.ts'
import { valueInputTypes, valuesOf } from './value-head.ts'

/** Latents of one prompt, what was known of each when it was sampled, and what its actions are to learn. */
export type PpoBatch = PromptLatents & { sampled: readonly SampledActions[]; targets: readonly ActionTargets[] }

/** `valueLoss` is absent without a value head. Units: see `losses.ts`. */
export type PpoFigures = { clipFraction: number; policyKl: number; valueLoss?: number }

type Settings = Pick<PpoConfig, 'baseline' | 'clip' | 'valueClip' | 'valueWeight'>

/** Loss and gradients for the latents of one prompt, under the names of the adapter's matrices and the value head's. */
export async function ppoLearnStep(
  lane: Lane,
  {
    model,
    adapter,
    critic,
    support,
    settings,
  }: { model: ModelDescription; adapter: LoraAdapter; critic: NamedTensors; support: Support; settings: Settings },
  batch: PpoBatch,
): Promise<LearnResult & { figures: PpoFigures }> {
  const constrained = isConstrained(support)
  const { baseline, clip, valueClip, valueWeight } = settings
  const key = `ppo ${JSON.stringify([adapter.config, constrained, baseline, clip, valueClip, valueWeight, model.recompute])}`
  const session = await lane.session(key, () => ppoProgram(model, adapter.config, settings, constrained))
  const { outputs } = await session.run({
    ...(await lane.adapter(adapter)),
    ...critic,
    ...policyFeeds(batch, support, model.dimensions.vocabulary),
    ...actionFeeds(batch, support, baseline),
  })
  const number = (name: string) => Number(outputs[name].data[0])
  return {
    loss: number('loss'),
    gradients: gradientsIn(outputs),
    scores: scoresOf(batch, support, outputs.logTokens.data as Float32Array, outputs.logStop.data as Float32Array),
    figures: {
      clipFraction: number('clipFraction'),
      policyKl: number('policyKl'),
      ...(baseline === 'value-head' && { valueLoss: number('valueLoss') }),
    },
  }
}

const onActions: TensorType = { dtype: 'float32', shape: ['samples', PREFIXES] }

/** The learn step's graph; sizes of prompt, samples and latents are symbolic. */
function ppoProgram(model: ModelDescription, lora: LoraConfig, settings: Settings, constrained: boolean) {
  const { clip, valueClip, valueWeight } = settings
  const hasValues = settings.baseline === 'value-head'
  const matrices = adapterInputs(model, lora)
  const head = hasValues ? valueInputTypes(model.dimensions.width) : {}
  const types: Record<string, TensorType> = {
    ...policyInputTypes(model, constrained),
    ...matrices,
    ...head,
    acting: yesNo('samples', PREFIXES),
    stopping: yesNo('samples', PREFIXES),
    oldLogQ: onActions,
    advantages: onActions,
    ...(hasValues && { oldValues: onActions, returns: onActions }),
  }
  return buildProgram('ppo learn step', types, (inputs) => {
    const { logTokens, logStop, hidden } = policyLogProbabilities(model, inputs, constrained, lora)
    const { acting, stopping, oldLogQ, advantages, oldValues, returns } = inputs
    const tokens = concat([logTokens, zeros([logTokens.shape[0], 1])], 1)
    const logQ = where(stopping, logStop, tokens)
    const policy = surrogate({ acting, logQ, oldLogQ, advantages }, clip)
    const values = hasValues && valuesOf(hidden, inputs.prefixQueries, inputs)
    const ofValues = values && valueLoss({ acting, values, oldValues, returns }, valueClip)
    const loss = ofValues ? add(policy.loss, mul(ofValues, valueWeight)) : policy.loss
    const names = [...Object.keys(matrices), ...Object.keys(head)]
    return {
      loss,
      logTokens,
      logStop,
      clipFraction: policy.clipFraction,
      policyKl: policy.policyKl,
      ...(ofValues && { valueLoss: ofValues }),
      ...gradientOutputs(loss, inputs, names, model.recompute),
    }
  })
}

function actionFeeds(batch: PpoBatch, support: Support, baseline: PpoConfig['baseline']): NamedTensors {
  const { sampled, targets } = batch
  const { shape, isStop, cells } = actionGrid(batch, support)
  const numbers = (of: (latent: number, action: number) => number) => float32(shape, cells(of, 0))
  return {
    acting: bool(
      shape,
      cells(() => true, false),
    ),
    stopping: bool(shape, cells(isStop, false)),
    oldLogQ: numbers((n, k) => sampled[n].logQ[k]),
    advantages: numbers((n, k) => targets[n].advantages[k]),
    ...(baseline === 'value-head' && {
      oldValues: numbers((n, k) => sampled[n].values![k]),
      returns: numbers((n, k) => targets[n].returns![k]),
    }),
  }
}

/**
 * @file The learn step as one graph: packed forward pass of the policy, log q at every prefix, the objective, and the
 * gradients of the LoRA matrices only.
 */
import type { LoraAdapter, LoraConfig } from '../adapters/lora.ts'
import type { ModelDescription } from '../models/architecture.ts'
import { sharedCopy } from '../models/int8-copy.ts'
import type { Lane } from '../models/lane.ts'
import { adapterInputs, linearLayers } from '../models/linear.ts'
import { vector } from '../models/packing.ts'
import { fromTape, type Tape, tapeInputs } from '../models/tape.ts'
import { bool, float32, type NamedTensors } from '../runtime/host-tensor.ts'
import type { Session } from '../runtime/session.ts'
import { statesOf } from '../sampling/latent.ts'
import { isConstrained, isTerminable, type Support } from '../sampling/support.ts'
import { buildProgram } from '../tensor/program.ts'
import { substitute } from '../tensor/substitute.ts'
import { nodesInOrder, type Tensor, type TensorType } from '../tensor/tensor.ts'
import { gradientOutputs, gradientsIn } from './named-gradients.ts'
import type { Objective } from './objective.ts'
import { type ObjectiveConfig, objectiveOf } from './objectives.ts'
import {
  grid,
  type PolicyScore,
  PREFIXES,
  type PromptLatents,
  policyFeeds,
  policyInputTypes,
  policyLogProbabilities,
  scoresOf,
  yesNo,
} from './policy.ts'

/** Latents of one prompt with what the objective compares them to. */
export type LearnBatch = PromptLatents & {
  /** log R at every prefix of each latent at today's temperature, nats; not read where the latent cannot end, nor by maximum likelihood. */
  logRewards?: readonly ArrayLike<number>[]
  /** The probability with which each inner prefix was asked for its reward (−∞ where it was not); absent: all were. */
  inclusion?: readonly (number | undefined)[]
  /** Learned log Z(X), nats; read by the forms of trajectory balance that learn it. */
  logPartition?: number
}

export type LearnResult = {
  loss: number
  gradients: NamedTensors
  /** Undefined where the objective does not learn log Z(X). */
  logPartitionGradient?: number
  scores: PolicyScore[]
}

const objectiveInputs = {
  logReward: { dtype: 'float32', shape: ['samples', PREFIXES] } as TensorType,
  terminable: yesNo('samples', PREFIXES),
  terminal: yesNo('samples', PREFIXES),
  weight: { dtype: 'float32', shape: ['samples', PREFIXES] } as TensorType,
  logPartition: { dtype: 'float32', shape: [] } as TensorType,
}

/** Who learns, and by what. */
export type Learner = { model: ModelDescription; adapter: LoraAdapter; support: Support; objective: ObjectiveConfig }

/** What of a batch's tokens the policy has read while it sampled: nothing, all, or some. */
type Taped = 'nothing' | 'all' | 'some'

/** Opens what `learnStep` runs without a tape and brings the adapter there, which that does itself where nobody did: to ask before spares the first step the wait. */
export async function openLearnStep(lane: Lane, learner: Learner): Promise<void> {
  await lane.adapter(learner.adapter)
  await sessionOf(lane, learner, 'nothing')
}

function sessionOf(lane: Lane, { model, adapter, support, objective }: Learner, taped: Taped): Promise<Session> {
  const constrained = isConstrained(support)
  const rootTerminable = isTerminable(support, 0)
  const key = `learn ${JSON.stringify([adapter.config, objective, constrained, rootTerminable, model.recompute, model.int8, taped])}`
  return lane.session(key, () =>
    learnProgram(model, adapter.config, objectiveOf(objective), { constrained, rootTerminable, taped }),
  )
}

/**
 * Loss and gradients for the latents of one prompt.
 * @param tape  of what the learner's policy has read of them while it sampled, which is then not computed again
 * @returns gradients under the names of the adapter's matrices; the loss is the objective's
 * @throws Error where the tape is of another policy, or was written over
 */
export async function learnStep(lane: Lane, learner: Learner, batch: LearnBatch, tape?: Tape): Promise<LearnResult> {
  const { model, adapter, support } = learner
  if (tape && (tape.adapter !== adapter || (tape.model.int8 ?? false) !== (model.int8 ?? false)))
    throw new Error('the tape is of another policy than the one that learns')
  const feeds: NamedTensors = policyFeeds(batch, support, model.dimensions.vocabulary, tape?.read)
  const unread = tape ? feeds.latentTokens.shape[0] - tape.read.length : 0
  const session = await sessionOf(lane, learner, !tape ? 'nothing' : tape.withOthers || unread > 0 ? 'some' : 'all')
  const firstUnread = batch.prompt.length + (tape?.read.length ?? 0)
  const { outputs } = await session.run({
    ...(await lane.adapter(adapter)),
    ...feeds,
    ...objectiveFeeds(batch, support),
    ...(tape && { ...tape.outputs(), unread: vector(Array.from({ length: unread }, (_, i) => firstUnread + i)) }),
  })
  const { loss, logTokens, logStop } = outputs
  const { logPartition: slope, ...gradients } = gradientsIn(outputs)
  return {
    loss: Number(loss.data[0]),
    logPartitionGradient: slope && Number(slope.data[0]),
    gradients,
    scores: scoresOf(batch, support, logTokens.data as Float32Array, logStop.data as Float32Array),
  }
}

/** The learn step's graph; sizes of prompt, samples and latents are symbolic. */
export function learnProgram(
  model: ModelDescription,
  lora: LoraConfig,
  objective: Objective,
  { constrained, rootTerminable, taped }: { constrained: boolean; rootTerminable: boolean; taped: Taped },
) {
  const matrices = adapterInputs(model, lora)
  const copy = sharedCopy(model, ['forward', 'back'])
  const ofPolicy = policyInputTypes(model, constrained)
  const types: Record<string, TensorType> = {
    ...{ ...ofPolicy, ...copy.types, ...matrices, ...objectiveInputs },
    ...(taped !== 'nothing' && { ...tapeInputs(model), unread: { dtype: 'int64', shape: ['unread'] } }),
  }
  const lossAndGradients = (inputs: Record<string, Tensor>) => {
    const unread =
      taped === 'some' ? { linears: linearLayers(model, inputs, lora).linears, tokens: inputs.unread } : undefined
    const tape = taped === 'nothing' ? undefined : fromTape(inputs, unread)
    const policy = policyLogProbabilities(model, inputs, constrained, lora, tape?.observe)
    const { logReward, terminable, terminal, weight, logPartition } = inputs
    const given = { logReward, terminable, terminal, weight, rootTerminable, logPartition }
    const loss = objective({ ...policy, ...given })
    const learnsPartition = dependsOn(loss, logPartition)
    const names = [...Object.keys(matrices), ...(learnsPartition ? ['logPartition'] : [])]
    const outputs = {
      loss,
      logTokens: policy.logTokens,
      logStop: policy.logStop,
      ...gradientOutputs(loss, inputs, names, model.recompute),
    }
    return tape ? substitute(outputs, tape.instead) : outputs
  }
  return buildProgram('learn step', types, lossAndGradients, copy)
}

/** Stands where a reward was not asked for, and is read nowhere: no arithmetic on it may give NaN. */
const LOWEST = -1e30

const dependsOn = (result: Tensor, input: Tensor) => nodesInOrder([result]).includes(input.node)

/** An objective sees states, not tokens: what a tool adds to an action belongs to that action's step. */
function objectiveFeeds(
  { latents, inserted, logRewards, inclusion, logPartition = 0 }: LearnBatch,
  support: Support,
): NamedTensors {
  const states = latents.map((latent, n) => statesOf(latent.length, inserted?.[n]))
  const shape = [latents.length, Math.max(2, ...states.map(({ length }) => length))]
  const cells = <T>(of: (latent: number, state: number) => T) => grid(shape[0], shape[1], of)
  const mayEnd = (n: number, k: number) => k < states[n].length && isTerminable(support, k)
  const isEnd = (n: number, k: number) => k === states[n].length - 1
  const given = (n: number, k: number) => (mayEnd(n, k) ? (logRewards?.[n][states[n][k]] ?? 0) : 0)
  // The empty prefix and the whole latent are always asked; of those between only some may be.
  const weightOf = (n: number, k: number) => {
    if (!mayEnd(n, k) || given(n, k) === Number.NEGATIVE_INFINITY) return 0
    return k === 0 || isEnd(n, k) ? 1 : 1 / (inclusion?.[n] ?? 1)
  }
  return {
    logReward: float32(
      shape,
      cells((n, k) => Math.max(given(n, k), LOWEST)),
    ),
    weight: float32(shape, cells(weightOf)),
    terminable: bool(shape, cells(mayEnd)),
    terminal: bool(
      shape,
      cells((n, k) => isEnd(n, k) && mayEnd(n, k)),
    ),
    logPartition: float32([], [logPartition]),
  }
}

/**
 * @file All that a run would lose if it were stopped: plain data of JSON and named arrays. Random numbers need no state
 * beyond the seed and the step, which address them.
 */
import { z } from 'zod'
import type { LoraAdapter } from '../adapters/lora.ts'
import { type ReplayBuffer, replayBufferSchema } from '../gflownet/replay-buffer.ts'
import type { NamedTensors } from '../runtime/host-tensor.ts'
import { type FirstTokenWatch, unwatched } from './collapse.ts'
import { aheadSchema, type CollectedAhead } from './collected.ts'
import type { AdamWState } from './optimizer.ts'

/** Learned log Z(X) of one prompt with its own Adam state, for trajectory balance. */
export type LearnedPartition = { value: number; step: number; first: number; second: number }

export type TrainingState = {
  /** Updates of the adapter done. */
  step: number
  seed: number
  adapter: LoraAdapter
  /** What a method trains besides the adapter, by name; mostly nothing. */
  critic: NamedTensors
  optimizer: AdamWState
  buffer: ReplayBuffer
  logPartitions: Record<string, LearnedPartition>
  firstToken: FirstTokenWatch
  /** What the next step learns from, where that was collected while this one learned. */
  ahead?: CollectedAhead[]
  /** β of PPO's KL penalty; absent before its first step, and of other methods. */
  klCoefficient?: number
  /** The training of the reference model's own adapter, in expectation-maximisation. */
  reference?: TrainingState
}

/** Updates of both adapters together: the step that a run is at. */
export const updatesDone = ({ step, reference }: TrainingState): number =>
  step + (reference ? updatesDone(reference) : 0)

const learnedPartition = z.strictObject({ value: z.number(), step: z.number(), first: z.number(), second: z.number() })
const patterns = z.record(z.string(), z.number()).optional()
const single = z.strictObject({
  step: z.number().int().nonnegative(),
  seed: z.number().int(),
  lora: z.strictObject({
    rank: z.number(),
    alpha: z.number(),
    targets: z.array(z.string()),
    rankPattern: patterns,
    alphaPattern: patterns,
    rankStabilised: z.boolean().optional(),
    everyWeight: z.literal(true).optional(),
  }),
  optimizerStep: z.number().int().nonnegative(),
  buffer: replayBufferSchema,
  logPartitions: z.record(z.string(), learnedPartition),
  firstToken: z
    .strictObject({ steps: z.number().int(), early: z.number(), lately: z.number(), warned: z.boolean() })
    .default(unwatched),
  ahead: aheadSchema.optional(),
  klCoefficient: z.number().optional(),
})
const jsonSchema = single.extend({ reference: single.optional() })

/** The state as a checkpoint stores it: arrays by name, and the rest as JSON. */
export function packState({
  step,
  seed,
  adapter,
  critic,
  optimizer,
  buffer,
  logPartitions,
  firstToken,
  ahead,
  klCoefficient,
  reference,
}: TrainingState): {
  tensors: NamedTensors
  json: unknown
} {
  const inner = reference && packState(reference)
  const named = (name: string, tensors: NamedTensors) =>
    Object.entries(tensors).map(([key, tensor]) => [`${name}/${key}`, tensor] as const)
  return {
    tensors: Object.fromEntries([
      ...named('adapter', adapter.weights),
      ...named('critic', critic),
      ...named('first', optimizer.first),
      ...named('second', optimizer.second),
      ...named('reference', inner?.tensors ?? {}),
    ]),
    // JSON writes the −∞ of prefixes that may not end as null, and the schema reads it back
    json: JSON.parse(
      JSON.stringify({
        step,
        seed,
        lora: adapter.config,
        optimizerStep: optimizer.step,
        buffer,
        logPartitions,
        firstToken,
        ahead,
        klCoefficient,
        reference: inner?.json,
      }),
    ),
  }
}

/** The inverse of packState, bit for bit. @throws ZodError where the JSON is not of this form */
export function unpackState({ tensors, json }: { tensors: NamedTensors; json: unknown }): TrainingState {
  const { reference, ...own } = jsonSchema.parse(json)
  const state = unpackSingle(tensors, own)
  return reference ? { ...state, reference: unpackSingle(group(tensors, 'reference'), reference) } : state
}

function unpackSingle(tensors: NamedTensors, { lora, optimizerStep, ...rest }: z.output<typeof single>): TrainingState {
  return {
    ...rest,
    adapter: { config: lora, weights: group(tensors, 'adapter') },
    critic: group(tensors, 'critic'),
    optimizer: { step: optimizerStep, first: group(tensors, 'first'), second: group(tensors, 'second') },
  }
}

const group = (tensors: NamedTensors, name: string): NamedTensors =>
  Object.fromEntries(
    Object.entries(tensors).flatMap(([key, tensor]) =>
      key.startsWith(`${name}/`) ? [[key.slice(name.length + 1), tensor]] : [],
    ),
  )

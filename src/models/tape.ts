/**
 * @file What the policy computed while it sampled: the outputs of its linear layers for every token that it read, row by row. The
 * learn step takes them from there instead of multiplying by the model once more; all else of the forward pass is cheap and follows from
 * them. Valid for one adapter, until the lane's scratch memory is asked for again.
 */
import type { LoraAdapter } from '../adapters/lora.ts'
import { type ResidentRows, rowsOf } from '../runtime/session.ts'
import { concat, gather } from '../tensor/ops/index.ts'
import type { Tensor, TensorType } from '../tensor/tensor.ts'
import type { ForwardContext, ModelDescription } from './architecture.ts'
import type { Lane } from './lane.ts'
import type { ReadToken } from './prefix-tree.ts'

/** Who reads. */
export type Reader = { model: ModelDescription; adapter: LoraAdapter }

export type Tape = Reader & {
  /** Will others be learned from, too, such as replayed latents? */
  readonly withOthers: boolean
  /** The tokens that were read after the prompt, in this order. */
  readonly read: readonly ReadToken[]
  /** Where the outputs of the prompt's tokens go. */
  promptPlaces(): Record<string, ResidentRows>
  /** Where those of more tokens go; undefined where there is no room for all, and from then on. */
  places(tokens: readonly ReadToken[]): Record<string, ResidentRows> | undefined
  /** All that was written, [prompt + read, outputs] for each layer. @throws Error where something else was written over it */
  outputs(): Record<string, ResidentRows>
}

/** Begins a tape in the lane's scratch memory, with room for a prompt and so many tokens after it. */
export async function openTape(
  lane: Lane,
  { model, adapter }: Reader,
  { prompt, tokens, withOthers }: { prompt: number; tokens: number; withOthers: boolean },
): Promise<Tape> {
  const capacity = prompt + tokens
  const widths = Object.fromEntries(model.linears.map(({ module, outputs }) => [outputOf(module), outputs]))
  const { arrays, isHeld } = await lane.scratch(capacity, widths)
  const read: ReadToken[] = []
  let isFull = false
  const rows = (from: number, to: number) =>
    Object.fromEntries(Object.entries(arrays).map(([name, array]) => [name, rowsOf(array, from, to)]))
  return {
    ...{ model, adapter, withOthers, read },
    promptPlaces: () => rows(0, prompt),
    places(more) {
      const from = prompt + read.length
      isFull ||= from + more.length > capacity
      if (isFull) return undefined
      read.push(...more)
      return rows(from, from + more.length)
    },
    outputs() {
      if (!isHeld()) throw new Error('a tape was read after its memory had been given to another')
      return rows(0, prompt + read.length)
    },
  }
}

/** The name of what leaves a linear layer, as an input and as an output of programs. */
const outputOf = (module: string) => `${module}.output`

/** The outputs of all linear layers as inputs of a program. */
export const tapeInputs = ({ linears }: ModelDescription): Record<string, TensorType> =>
  Object.fromEntries(
    linears.map(({ module, outputs }) => [outputOf(module), { dtype: 'float32', shape: ['taped', outputs] }]),
  )

/** What leaves linear layers of a program that read the same x. */
export type Observe = (modules: readonly string[], x: Tensor, outputs: readonly Tensor[]) => void

/** Outputs of a program that go onto a tape, filled while the forward pass is built. */
export function observed(): { observe: Observe; outputs: Record<string, Tensor> } {
  const outputs: Record<string, Tensor> = {}
  const observe: Observe = (modules, _, leaving) => {
    for (const [i, module] of modules.entries()) outputs[outputOf(module)] = leaving[i]
  }
  return { observe, outputs }
}

/**
 * What stands on a tape in the place of what linear layers of a program give, filled while the forward pass is built.
 * @param unread  linear layers as they compute tokens that are not on the tape, and the numbers of these, which are the last;
 * without it all are on it
 */
export function fromTape(
  inputs: Record<string, Tensor>,
  unread?: { linears: ForwardContext['linears']; tokens: Tensor },
): { observe: Observe; instead: Map<Tensor, Tensor> } {
  const instead = new Map<Tensor, Tensor>()
  const observe: Observe = (modules, x, outputs) => {
    const others = unread?.linears(modules, gather(x, unread.tokens))
    for (const [i, module] of modules.entries()) {
      const taped = inputs[outputOf(module)]
      instead.set(outputs[i], others ? concat([taped, others[i]], 0) : taped)
    }
  }
  return { observe, instead }
}

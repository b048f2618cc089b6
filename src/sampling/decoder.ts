/**
 * @file Rows that continue one prompt, advanced token by token. The prompt runs once; its keys and values serve every row.
 * At each step a row may leave, go on, or go on in several ways, by one token or, where a tool had a part, by several. What is
 * made of the logits (a draw, log-probabilities) is the caller's *readout*, which runs inside the same graph.
 */
import type { LoraAdapter, LoraConfig } from '../adapters/lora.ts'
import type { ModelDescription } from '../models/architecture.ts'
import { cachedAttention, type Grid, gridInputs, promptCacheInputs, rowCacheInputs } from '../models/cache.ts'
import { weightInputs } from '../models/frozen.ts'
import { headInputs, headOf, logits } from '../models/head.ts'
import { int8Copy, int8Inputs, sharedCopy } from '../models/int8-copy.ts'
import type { Lane } from '../models/lane.ts'
import { adapterInputs, linearLayers } from '../models/linear.ts'
import { packRows, vector } from '../models/packing.ts'
import type { ReadToken } from '../models/prefix-tree.ts'
import { promptStates, withPrompt } from '../models/prompt.ts'
import type { PromptRead } from '../models/prompt-cache.ts'
import { observed, type Tape } from '../models/tape.ts'
import { float32, type HostTensor, int64, type NamedTensors } from '../runtime/host-tensor.ts'
import type { Program, ResidentTensor } from '../runtime/session.ts'
import { gather } from '../tensor/ops/index.ts'
import { buildProgram } from '../tensor/program.ts'
import type { Tensor, TensorType } from '../tensor/tensor.ts'

/** What a decoder makes of the next token's logits, [1, vocabulary] after the prompt and [readers, vocabulary] after that. */
export type Readout = {
  /** Tells its programs from those of other readouts. */
  name: string
  /** What it reads besides; `readers` is a size that its shapes may have. */
  inputs: (vocabulary: number) => Record<string, TensorType>
  outputs: (logits: Tensor, inputs: Record<string, Tensor>) => Record<string, Tensor>
}

/** How rows go on, see `withDecoder`. */
type Advancing = { int8: boolean; ragged: boolean }

/** Is what leaves linear layers an output as well? */
type Taped = { taped: boolean }

type Feeds = Record<string, HostTensor>

/** The rows of one prompt. Before the first `advance` there is one row: the prompt itself. */
export type Decoder = {
  /**
   * The readout after the prompt. Asked once, before any `advance`.
   * @param goesOn  rows will be advanced: what does it is opened together with what reads the prompt
   */
  start(feeds: Feeds, options?: { goesOn: boolean }): Promise<NamedTensors>
  /**
   * The readout after more tokens for each of some rows, which are then all the rows that there are.
   * @param parents  [rows], which of the rows before each continues; a row that none continues is gone
   * @param tokens  [rows][one], or where rows are ragged [rows][at least one]
   * @param readers  which row each of the readout's results is of; default: each row once
   */
  advance(
    step: { parents: readonly number[]; tokens: readonly (readonly number[])[]; readers?: readonly number[] },
    feeds: Feeds,
  ): Promise<NamedTensors>
}

/**
 * Decodes after a prompt; everything that is kept for it where the model runs is let go when `use` ends, but for what the lane keeps
 * of prompts that the model without an adapter has read.
 * @param ragged  rows may go on by several tokens at a time, and not all by equally many
 * @param int8  rows are advanced with an int8 copy of linear layers and head: near the model, and faster. The prompt is read exactly, unless the model is `int8` as a whole.
 * @param tape  of the same adapter: all that is read is written there
 */
export async function withDecoder<Result>(
  lane: Lane,
  {
    model: given,
    adapter,
    tape,
    ...how
  }: { model: ModelDescription; adapter?: LoraAdapter; tape?: Tape } & Partial<Advancing>,
  prompt: readonly number[],
  readout: Readout,
  use: (decoder: Decoder) => Promise<Result>,
  read?: PromptRead,
): Promise<Result> {
  if (!adapter && !read)
    return withPrompt(lane, { model: given }, prompt, (read) =>
      withDecoder(lane, { model: given, ...how }, prompt, readout, use, read),
    )
  const { int8 = false, ragged = false } = how
  const lora = adapter?.config
  const matrices = adapter ? await lane.adapter(adapter) : {}
  const model = { ...given, int8: int8 && given.int8 }
  const key = `${readout.name} ${JSON.stringify([lora, model.int8])}`
  let promptCache: Record<string, ResidentTensor> = {}
  // Hundreds, of which a step changes some: made anew at every step they would take a tenth of its time.
  const inputs: Record<string, HostTensor | ResidentTensor> = { ...matrices, ...read, ...emptyRow(model) }
  let rowCache: Record<string, ResidentTensor> = {}
  let places: readonly boolean[][] = [[]] // [rows][steps], does a token stand at this place of the cache?
  let lastRead: readonly number[] = [-1] // of each row its last token on the tape

  const advancing = ({ taped }: Taped) =>
    lane.session(`decode ${int8 ? 'in int8 ' : ''}${ragged ? 'ragged ' : ''}${taped ? 'to a tape ' : ''}${key}`, () =>
      decodeProgram(model, readout, { lora, int8, ragged, taped }),
    )
  /** Where on the tape go more tokens of rows, if there are any. */
  const onTape = (parents: readonly number[], tokens: readonly (readonly number[])[]) => {
    if (!tape) return undefined
    const more: ReadToken[] = []
    lastRead = tokens.map((own, row) => {
      for (const [i, token] of own.entries()) {
        const parent = i === 0 ? lastRead[parents[row]] : tape.read.length + more.length - 1
        more.push({ token, parent })
      }
      return tape.read.length + more.length - 1
    })
    return tape.places(more)
  }

  const decoder: Decoder = {
    async start(feeds, { goesOn } = { goesOn: false }) {
      const last = int64([1], [prompt.length - 1])
      if (read) {
        const session = await lane.session(`readout ${readout.name}`, () => readoutProgram(model, readout))
        return (await session.run({ hidden: read.promptHidden, last, ...feeds })).outputs
      }
      const taped = tape !== undefined
      const prefill = lane.session(`prefill ${taped ? 'to a tape ' : ''}${key}`, () =>
        prefillProgram(model, readout, { lora, taped }),
      )
      if (goesOn) advancing({ taped }).catch(() => {}) // `advance` says what is wrong with it
      const given = { promptTokens: vector(prompt), last }
      const { outputs, kept } = await (await prefill).run(
        { ...matrices, ...given, ...feeds },
        cacheNames(model, 'prompt'),
        tape?.promptPlaces(),
      )
      promptCache = kept
      Object.assign(inputs, promptCache)
      return outputs
    },
    async advance({ parents, tokens, readers = [...tokens.keys()] }, feeds) {
      const width = Math.max(...tokens.map(({ length }) => length))
      const { first, rows, places: newPlaces } = packRows(tokens)
      const before = parents.map((parent) => places[parent])
      places = tokens.map((own, row) => [...before[row], ...Array.from({ length: width }, (_, i) => i < own.length)])
      const taped = onTape(parents, tokens)
      const session = await advancing({ taped: taped !== undefined })
      const given = {
        keep: vector(parents),
        newTokens: vector(tokens.flat()),
        positions: vector(
          tokens.flatMap((own, row) => {
            const position = prompt.length + before[row].filter(Boolean).length
            return own.map((_, i) => position + i)
          }),
        ),
        ...(ragged && { newRows: rows, newPlaces, visible: visibleOf(before, width) }),
        last: vector(readers.map((row) => first[row] + tokens[row].length - 1)),
      }
      Object.assign(inputs, given, feeds)
      const { outputs, kept } = await session.run(inputs, cacheNames(model, 'next'), taped)
      await lane.runtime.release(Object.values(rowCache))
      rowCache = kept
      for (const [name, value] of Object.entries(kept)) inputs[name.replace('next', 'past')] = value
      return outputs
    },
  }
  try {
    return await use(decoder)
  } finally {
    await lane.runtime.release([...Object.values(promptCache), ...Object.values(rowCache)])
  }
}

const cacheNames = ({ dimensions: { layers } }: ModelDescription, name: string): string[] =>
  Array.from({ length: layers }, (_, i) => [`${name}Key.${i}`, `${name}Value.${i}`]).flat()

/** Keys and values of one row without tokens. */
function emptyRow(model: ModelDescription): Record<string, HostTensor> {
  const { keyValueHeads, headWidth } = model.dimensions
  const empty = float32([keyValueHeads, 1, 0, headWidth])
  return Object.fromEntries(cacheNames(model, 'past').map((name) => [name, empty]))
}

/** The readout after the last token of a prompt that was read before. */
function readoutProgram(model: ModelDescription, readout: Readout): Program {
  const { width, vocabulary } = model.dimensions
  const types: Record<string, TensorType> = {
    ...headInputs(model),
    ...readout.inputs(vocabulary),
    hidden: { dtype: 'float32', shape: ['prompt', width] },
    last: { dtype: 'int64', shape: [1] },
  }
  return buildProgram(`readout, ${readout.name}`, types, (inputs) =>
    readout.outputs(logits(gather(inputs.hidden, inputs.last), headOf(model, inputs)), inputs),
  )
}

/** The prompt's keys and values in every layer, and the readout after its last token. */
function prefillProgram(
  model: ModelDescription,
  readout: Readout,
  { lora, taped }: { lora?: LoraConfig } & Taped,
): Program {
  const copy = sharedCopy(model)
  const types: Record<string, TensorType> = {
    ...weightInputs(model),
    ...copy.types,
    ...(lora && adapterInputs(model, lora)),
    ...readout.inputs(model.dimensions.vocabulary),
    promptTokens: { dtype: 'int64', shape: ['prompt'] },
    last: { dtype: 'int64', shape: [1] },
  }
  const read = (inputs: Record<string, Tensor>) => {
    const tape = taped ? observed() : undefined
    const { cache, hidden } = promptStates(model, inputs, inputs.promptTokens, lora, tape?.observe)
    const read = readout.outputs(logits(gather(hidden, inputs.last), headOf(model, inputs)), inputs)
    return { ...cache, ...tape?.outputs, ...read }
  }
  return buildProgram(`prefill, ${readout.name}`, types, read, copy)
}

/** What each new token sees of its row, [rows, width, steps + width]: 0 or −∞. */
function visibleOf(before: readonly (readonly boolean[])[], width: number): HostTensor {
  const visible = before.flatMap((row) =>
    Array.from({ length: width }, (_, place) => [
      ...row.map((isToken) => (isToken ? 0 : Number.NEGATIVE_INFINITY)),
      ...Array.from({ length: width }, (_, other) => (other <= place ? 0 : Number.NEGATIVE_INFINITY)),
    ]),
  )
  return float32([before.length, width, before[0].length + width], Float32Array.from(visible.flat()))
}

/** More tokens for each row that goes on: one of each, or on a grid as many as each has. */
function decodeProgram(
  model: ModelDescription,
  readout: Readout,
  { lora, int8, ragged, taped }: { lora?: LoraConfig } & Advancing & Taped,
): Program {
  const { dimensions } = model
  const ofRows: TensorType = { dtype: 'int64', shape: ['rows'] }
  const types: Record<string, TensorType> = {
    ...weightInputs(model),
    ...(lora && adapterInputs(model, lora)),
    ...readout.inputs(dimensions.vocabulary),
    ...promptCacheInputs(dimensions),
    ...rowCacheInputs(dimensions),
    ...(ragged && gridInputs),
    newTokens: ragged ? gridInputs.newPlaces : ofRows,
    positions: ragged ? gridInputs.newPlaces : ofRows,
    keep: ofRows,
    last: { dtype: 'int64', shape: ['readers'] },
    ...(int8 && int8Inputs(model)),
  }
  const advanced = (inputs: Record<string, Tensor>) => {
    const present: Record<string, Tensor> = {}
    const tape = taped ? observed() : undefined
    const grid = ragged ? (inputs as Grid) : undefined
    const hidden = model.hiddenStates({
      tokens: inputs.newTokens,
      positions: inputs.positions,
      ...linearLayers(model, inputs, lora, { fewTokens: true, observe: tape?.observe }),
      attend: cachedAttention(inputs, dimensions, inputs.keep, present, grid),
    })
    const newest = gather(hidden, inputs.last)
    return { ...present, ...tape?.outputs, ...readout.outputs(logits(newest, headOf(model, inputs)), inputs) }
  }
  const { shared } = sharedCopy(model)
  const constants = int8 ? (shared[0] ?? int8Copy(model)) : undefined
  return buildProgram(`decode, ${readout.name}`, types, advanced, { constants, shared })
}

/**
 * @file Log-probabilities of given tokens in one packed pass: of latents after a prompt, which is read before or was, and of
 * branches after prefixes of the latents. Used by rewards (under the reference model) and to score a text (with or without an adapter).
 */
import type { LoraAdapter, LoraConfig } from '../adapters/lora.ts'
import { bool, float32, int64 } from '../runtime/host-tensor.ts'
import type { Program, ResidentTensor } from '../runtime/session.ts'
import { concat, div, gather, reshape, sub } from '../tensor/ops/index.ts'
import { buildProgram } from '../tensor/program.ts'
import type { Dim } from '../tensor/shape.ts'
import type { Tensor, TensorType } from '../tensor/tensor.ts'
import type { ModelDescription } from './architecture.ts'
import { type Packing, packedForward } from './attention.ts'
import { weightInputs } from './frozen.ts'
import {
  chosenLogits,
  constrainedLogNormaliser,
  type Head,
  headInputs,
  headOf,
  logitOf,
  logits,
  logitsAtOnce,
  logNormaliser,
} from './head.ts'
import { sharedCopy } from './int8-copy.ts'
import type { Lane } from './lane.ts'
import { adapterInputs, linearLayers } from './linear.ts'
import { branchInputs, latentInputs } from './packing.ts'
import { type PackedTree, packTree, type Tree } from './prefix-tree.ts'
import { promptReadInputs, withPrompt } from './prompt.ts'

/**
 * One question: log p(`token` | all that leads to and includes the packed token `after`). With `mayStop` it is
 * renormalised within limits: over the allowed tokens, and ⊤ where it may come.
 */
export type Question = { after: number; token: number; mayStop?: boolean }

/**
 * What is allowed where questions are asked within limits. `bias` [vocabulary] is −∞ for ⊤, too. Logits are divided by the
 * temperature first; default 1.
 */
export type Limits = { stop: number; bias: Float32Array; temperature?: number }

/** The packed tokens that questions can follow. */
export type Places = Pick<PackedTree, 'latentToken' | 'branchToken'>

/** Tokens of a tree that are best read in one pass: more leave the processor's cache, and need memory for what layers make of them. */
export const TOKENS_AT_ONCE = 2048
/** Logits are made for this many bytes of them at a time, so that a long list of questions needs no more memory. */
export const LOGIT_BYTES = 64 << 20

/**
 * Answers questions about one tree.
 * @param ask which questions, given where the tokens have gone
 * @returns log-probabilities in the order of the questions, nats
 */
export async function scoreTree(
  lane: Lane,
  { model, adapter }: { model: ModelDescription; adapter?: LoraAdapter },
  tree: Tree,
  ask: (places: Places) => readonly Question[],
  limits?: Limits,
): Promise<Float64Array> {
  const packed = packTree(tree)
  const questions = ask(packed)
  return withHiddenStates(lane, { model, adapter }, tree, packed, async (hidden) => {
    const answers = new Float64Array(questions.length)
    for (const within of [true, false]) {
      const indices = [...questions.keys()].filter((i) => (questions[i].mayStop !== undefined) === within)
      if (indices.length === 0) continue
      const part = indices.map((i) => questions[i])
      const found = await answer(lane, { model, adapter }, hidden, part, within ? limits : undefined)
      for (const [k, i] of indices.entries()) answers[i] = found[k]
    }
    return answers
  })
}

/** Logits after every token of a text, [tokens, vocabulary]. */
export async function textLogits(
  lane: Lane,
  { model, adapter }: { model: ModelDescription; adapter?: LoraAdapter },
  tokens: readonly number[],
): Promise<Float32Array> {
  return withPrompt(lane, { model, adapter }, tokens, async ({ promptHidden: hidden }) => {
    const session = await lane.session(`logits ${headKey(adapter)}`, () => logitsProgram(model, adapter?.config))
    const { outputs } = await session.run({ hidden, ...(adapter && (await lane.adapter(adapter))) })
    return (outputs.logits.data as Float32Array).slice(0, tokens.length * model.dimensions.vocabulary)
  })
}

/** Hidden states of all tokens of a tree. The prompt is read by itself, whether it was read before or not: so the result is the same. */
async function withHiddenStates<Result>(
  lane: Lane,
  { model, adapter }: { model: ModelDescription; adapter?: LoraAdapter },
  tree: Pick<Tree, 'prompt' | 'latents'>,
  { inputs }: PackedTree,
  use: (hidden: ResidentTensor) => Promise<Result>,
): Promise<Result> {
  return withPrompt(lane, { model, adapter }, tree.prompt, async (prompt) => {
    if (tree.latents.length === 0) return use(prompt.promptHidden)
    const branches = 'branchTokens' in inputs
    const session = await lane.session(`tree ${JSON.stringify([branches, adapter?.config, model.int8])}`, () =>
      treeProgram(model, branches, adapter?.config),
    )
    const { promptTokens: _, ...packed } = inputs
    const given = { ...packed, ...prompt, ...(adapter && (await lane.adapter(adapter))) }
    const { kept } = await session.run(given, ['hidden'])
    try {
      return await use(kept.hidden)
    } finally {
      await lane.runtime.release([kept.hidden])
    }
  })
}

/** Questions by the hidden state that they ask, a bounded number of logits at a time. */
async function answer(
  lane: Lane,
  { model, adapter }: { model: ModelDescription; adapter?: LoraAdapter },
  hidden: ResidentTensor,
  questions: readonly Question[],
  limits?: Limits,
) {
  const key = JSON.stringify([limits !== undefined, headKey(adapter), model.int8])
  const session = await lane.session(`token log-probabilities ${key}`, () =>
    answerProgram(model, limits !== undefined, adapter?.config),
  )
  const trained = adapter && (await lane.adapter(adapter))
  // The same state is asked twice where ⊤ may follow it in one latent and not in another, with fewer actions in it.
  const stateOf = ({ after, mayStop }: Question) => 2 * after + (mayStop ? 1 : 0)
  const byState = new Map<number, number[]>()
  for (const [i, question] of questions.entries()) {
    const state = stateOf(question)
    byState.set(state, [...(byState.get(state) ?? []), i])
  }
  const states = [...byState.keys()]
  const perState = logitsAtOnce(model.dimensions.vocabulary, headKey(adapter))
  const atOnce = Math.max(1, Math.floor(LOGIT_BYTES / (4 * perState)))

  const answers = new Float64Array(questions.length)
  for (let from = 0; from < states.length; from += atOnce) {
    const part = states.slice(from, from + atOnce)
    const asked = part.flatMap((state, query) => byState.get(state)!.map((question) => ({ query, question })))
    const { outputs } = await session.run({
      hidden,
      ...trained,
      queries: int64(
        [part.length],
        part.map((state) => Math.floor(state / 2)),
      ),
      from: int64(
        [asked.length],
        asked.map(({ query }) => query),
      ),
      tokens: int64(
        [asked.length],
        asked.map(({ question }) => questions[question].token),
      ),
      ...(limits && {
        bias: float32([limits.bias.length], limits.bias),
        stop: int64([1], [limits.stop]),
        temperature: float32([], [limits.temperature ?? 1]),
        mayStop: bool(
          [part.length, 1],
          part.map((state) => state % 2 === 1),
        ),
      }),
    })
    for (const [i, { question }] of asked.entries()) answers[question] = Number(outputs.answers.data[i])
  }
  return answers
}

/** Tells programs whose head an adapter has from those whose head is the model's. */
const headKey = (adapter: LoraAdapter | undefined) => adapter?.config.everyWeight ?? false

const hiddenType = (model: ModelDescription): TensorType => ({
  dtype: 'float32',
  shape: ['tokens', model.dimensions.width],
})

/** A tree over a prompt that was read before. → the hidden states of both, [tokens, width], those of the prompt first */
function treeProgram(model: ModelDescription, branches: boolean, lora?: LoraConfig): Program {
  const { promptTokens: _, ...latents } = latentInputs
  const copy = sharedCopy(model)
  const types = {
    ...weightInputs(model),
    ...copy.types,
    ...(lora && adapterInputs(model, lora)),
    ...promptReadInputs(model),
    ...latents,
    ...(branches && branchInputs),
  }
  const hiddenStates = (inputs: Record<string, Tensor>) => {
    const cached = (layer: number) => ({ key: inputs[`promptKey.${layer}`], value: inputs[`promptValue.${layer}`] })
    const hidden = model.hiddenStates({
      ...packedForward(inputs as Packing, model.dimensions, cached),
      ...linearLayers(model, inputs, lora),
    })
    return { hidden: concat([inputs.promptHidden, hidden], 0) }
  }
  return buildProgram('tree', types, hiddenStates, copy)
}

function answerProgram(model: ModelDescription, limited: boolean, lora?: LoraConfig): Program {
  const whole = (...shape: Dim[]): TensorType => ({ dtype: 'int64', shape })
  const limits: Record<string, TensorType> = {
    bias: { dtype: 'float32', shape: [model.dimensions.vocabulary] },
    stop: whole(1),
    temperature: { dtype: 'float32', shape: [] },
    mayStop: { dtype: 'bool', shape: ['queries', 1] },
  }
  const copy = sharedCopy(model)
  const types: Record<string, TensorType> = {
    ...headInputs(model, lora),
    ...copy.types,
    hidden: hiddenType(model),
    queries: whole('queries'),
    from: whole('pairs'),
    tokens: whole('pairs'),
    ...(limited && limits),
  }
  const answers = (inputs: Record<string, Tensor>) => {
    const { from, tokens, bias, stop, temperature, mayStop } = inputs
    const whole = gather(inputs.hidden, inputs.queries)
    const states = limited ? div(whole, temperature) : whole
    const head = limited ? temperedHead(headOf(model, inputs), temperature) : headOf(model, inputs)
    const normaliser = limited
      ? constrainedLogNormaliser(states, head, {
          bias,
          logitOfStop: logitOf(stop, states, head),
          terminable: mayStop,
        })
      : logNormaliser(states, head)
    const logP = sub(chosenLogits(states, head, from, tokens), gather(normaliser, from))
    return { answers: reshape(logP, [from.shape[0]]) }
  }
  return buildProgram('token log-probabilities', types, answers, copy)
}

/** A head is linear: of hidden states that are divided by the temperature it makes logits that are. */
const temperedHead = ({ bias, ...head }: Head, temperature: Tensor): Head => ({
  ...head,
  ...(bias && { bias: div(bias, temperature) }),
})

function logitsProgram(model: ModelDescription, lora?: LoraConfig): Program {
  return buildProgram('logits', { ...headInputs(model, lora), hidden: hiddenType(model) }, (inputs) => ({
    logits: logits(inputs.hidden, headOf(model, inputs)),
  }))
}

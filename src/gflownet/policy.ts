/**
 * @file log q of latents under the policy, as a graph: of every token, of ⊤ at every prefix and of every prefix, within the
 * limits of the support. The learn step puts an objective on top; without one it scores latents.
 */
import type { LoraAdapter, LoraConfig } from '../adapters/lora.ts'
import { distinct } from '../distinct.ts'
import type { ModelDescription } from '../models/architecture.ts'
import { packedForward } from '../models/attention.ts'
import { weightInputs } from '../models/frozen.ts'
import { chosenLogits, constrainedLogNormaliser, headOf, logitOf, logNormaliser } from '../models/head.ts'
import type { Lane } from '../models/lane.ts'
import { adapterInputs, linearLayers } from '../models/linear.ts'
import { latentInputs, vector } from '../models/packing.ts'
import { packTree, type ReadToken } from '../models/prefix-tree.ts'
import type { Observe } from '../models/tape.ts'
import { bool, float32, int64 } from '../runtime/host-tensor.ts'
import { statesOf, type TokenLists } from '../sampling/latent.ts'
import { innerBias, isConstrained, isForced, isTerminable, type Support } from '../sampling/support.ts'
import { concat, gather, reshape, runningSum, sub, where, zeros } from '../tensor/ops/index.ts'
import { buildProgram } from '../tensor/program.ts'
import { type Dim, sumDims } from '../tensor/shape.ts'
import type { Tensor, TensorType } from '../tensor/tensor.ts'

/** Latents of one prompt. */
export type PromptLatents = TokenLists & { prompt: readonly number[] }

/** What the policy says of one latent. */
export type PolicyScore = {
  /** log q(z_i | X, z_<i), [length]; 0 for a token that a tool inserted. */
  logTokens: number[]
  /** log q(⊤ | X, prefix), [prefixes]; −∞ where ⊤ is impossible, as before an inserted token, 0 where it is forced. */
  logStop: number[]
  /** log q(z_1..z_n ⊤ | X), nats. */
  logQ: number
}

/** States of latents of up to `steps` actions, the empty one among them: all prefixes, where no tool has a part. */
export const PREFIXES = sumDims('steps', 1)
const whole = (...shape: Dim[]): TensorType => ({ dtype: 'int64', shape })
export const yesNo = (...shape: Dim[]): TensorType => ({ dtype: 'bool', shape })

/** What the policy's log-probabilities are computed from, besides tokens. */
const policyInputs = {
  ...latentInputs,
  queries: whole('queries'), // packed tokens after which something is predicted
  actionTokens: whole('actions'), // the latent tokens that the policy chose, one for all latents that share a prefix
  parents: whole('actions'), // the query from which each action is predicted
  stepActions: whole('samples', 'steps'), // where each latent's actions are among them; any where there is none
  prefixQueries: whole('samples', PREFIXES), // the query of each state; any where there is none
  onLatent: yesNo('samples', 'steps'),
  stop: { dtype: 'int64', shape: [1] } as TensorType,
  forced: yesNo('samples', PREFIXES),
}
const constraintInputs = (vocabulary: number) => ({
  bias: { dtype: 'float32', shape: [vocabulary] } as TensorType,
  mayStop: yesNo('queries', 1),
})
/** log q of latents of one prompt under the policy, or under the reference model where there is no adapter. */
export async function scoreUnderPolicy(
  lane: Lane,
  { model, adapter, support }: { model: ModelDescription; adapter?: LoraAdapter; support: Support },
  given: PromptLatents,
): Promise<PolicyScore[]> {
  const constrained = isConstrained(support)
  const session = await lane.session(`log q ${JSON.stringify([adapter?.config, constrained])}`, () =>
    scoreProgram(model, adapter?.config, constrained),
  )
  const { outputs } = await session.run({
    ...(adapter && (await lane.adapter(adapter))),
    ...policyFeeds(given, support, model.dimensions.vocabulary),
  })
  return scoresOf(given, support, outputs.logTokens.data as Float32Array, outputs.logStop.data as Float32Array)
}

function scoreProgram(model: ModelDescription, lora: LoraConfig | undefined, constrained: boolean) {
  const types = { ...policyInputTypes(model, constrained), ...(lora && adapterInputs(model, lora)) }
  return buildProgram('log q', types, (inputs) => {
    const { logTokens, logStop } = policyLogProbabilities(model, inputs, constrained, lora)
    return { logTokens, logStop }
  })
}

/** Types of all that log q is computed from. */
export const policyInputTypes = (model: ModelDescription, constrained: boolean): Record<string, TensorType> => ({
  ...weightInputs(model),
  ...policyInputs,
  ...(constrained && constraintInputs(model.dimensions.vocabulary)),
})

/**
 * log q of actions, of ⊤ and of states: [samples, steps], [samples, prefixes], [samples, prefixes]; and the hidden states that
 * they are read from, [queries, width].
 */
export function policyLogProbabilities(
  model: ModelDescription,
  inputs: Record<string, Tensor>,
  constrained: boolean,
  lora?: LoraConfig,
  observe?: Observe,
): { logTokens: Tensor; logStop: Tensor; logPrefix: Tensor; hidden: Tensor } {
  const packing = inputs as { [Name in keyof typeof policyInputs]: Tensor }
  const all = model.hiddenStates({
    ...packedForward(packing, model.dimensions),
    ...linearLayers(model, inputs, lora, { observe }),
  })
  const { queries, parents, prefixQueries, stepActions, actionTokens, stop } = packing
  const head = headOf(model, inputs)
  const hidden = gather(all, queries) // [queries, width]
  const logitOfStop = logitOf(stop, hidden, head)
  const normaliser = constrained
    ? constrainedLogNormaliser(hidden, head, { bias: inputs.bias, logitOfStop, terminable: inputs.mayStop })
    : logNormaliser(hidden, head)

  const ofTokens = sub(chosenLogits(hidden, head, parents, actionTokens), gather(normaliser, parents)) // [actions, 1]
  const onGrid = gather(reshape(ofTokens, [actionTokens.shape[0]]), stepActions)
  const logTokens = where(packing.onLatent, onGrid, 0)
  const ofStop = reshape(sub(logitOfStop, normaliser), [queries.shape[0]])
  const logStop = where(packing.forced, 0, gather(ofStop, prefixQueries))
  const logPrefix = concat([zeros([stepActions.shape[0], 1]), runningSum(logTokens)], 1)
  return { logTokens, logStop, logPrefix, hidden }
}

/**
 * The arrays of latents as the graph reads them. What latents share is computed once: a token, a query, an action.
 * @param taped  tokens that were read before, which come first
 */
export function policyFeeds(
  { prompt, latents, inserted }: PromptLatents,
  support: Support,
  vocabulary: number,
  taped?: readonly ReadToken[],
) {
  const states = latents.map((latent, n) => statesOf(latent.length, inserted?.[n]))
  // Of a latent that must end, what stands behind its last choice is read by nobody.
  const read = latents.map((latent, n) => latent.slice(0, states[n].findLast((_, k) => !isForced(support, k)) ?? 0))
  const { inputs, latentToken } = packTree({ prompt, latents: read, read: taped })
  // The same tokens are two queries where a tool wrote some of them in one latent, so that it may not end yet, and not in another.
  const queries = distinct<{ token: number; mayStop: boolean }>()
  queries.idOf({ token: latentToken(0, -1), mayStop: isTerminable(support, 0) })
  const queryOf = latents.map((_, n) =>
    states[n].map((place, k) => {
      if (isForced(support, k)) return 0 // nothing is asked
      return queries.idOf({ token: latentToken(n, place - 1), mayStop: isTerminable(support, k) })
    }),
  )
  const actions = distinct<{ parent: number; token: number }>()
  const actionOf = latents.map((latent, n) =>
    states[n].slice(0, -1).map((place, k) => actions.idOf({ parent: queryOf[n][k], token: latent[place] })),
  )
  if (actions.values.length === 0) actions.idOf({ parent: 0, token: prompt[0] }) // the grid reads it where there is none
  const samples = latents.length
  const steps = Math.max(1, ...actionOf.map(({ length }) => length))
  const onStates = <T>(of: (latent: number, state: number) => T) => grid(samples, steps + 1, of)
  return {
    ...inputs,
    queries: vector(queries.values.map(({ token }) => token)),
    actionTokens: vector(actions.values.map(({ token }) => token)),
    parents: vector(actions.values.map(({ parent }) => parent)),
    stepActions: int64(
      [samples, steps],
      grid(samples, steps, (n, k) => actionOf[n][k] ?? 0),
    ),
    prefixQueries: int64(
      [samples, steps + 1],
      onStates((n, k) => queryOf[n][k] ?? 0),
    ),
    onLatent: bool(
      [samples, steps],
      grid(samples, steps, (n, k) => k < actionOf[n].length),
    ),
    stop: int64([1], [support.stop]),
    forced: bool(
      [samples, steps + 1],
      onStates((_, k) => isForced(support, k)),
    ),
    ...(isConstrained(support) && {
      bias: float32([vocabulary], innerBias(support, vocabulary)),
      mayStop: bool(
        [queries.values.length, 1],
        queries.values.map(({ mayStop }) => mayStop),
      ),
    }),
  }
}

/** A [rows, columns] grid, row by row. */
export const grid = <T>(rows: number, columns: number, of: (row: number, column: number) => T): T[] =>
  Array.from({ length: rows * columns }, (_, k) => of(Math.floor(k / columns), k % columns))

/** Reads the program's grids, latent by latent. */
export function scoresOf(
  { latents, inserted }: PromptLatents,
  support: Support,
  logTokens: Float32Array,
  logStop: Float32Array,
): PolicyScore[] {
  const steps = logTokens.length / latents.length
  return latents.map((latent, n) => {
    const states = statesOf(latent.length, inserted?.[n])
    const tokens = latent.map(() => 0)
    const stops = new Array<number>(latent.length + 1).fill(Number.NEGATIVE_INFINITY)
    for (const [k, place] of states.entries()) {
      if (k < states.length - 1) tokens[place] = logTokens[n * steps + k]
      if (isTerminable(support, k)) stops[place] = logStop[n * (steps + 1) + k]
    }
    return { logTokens: tokens, logStop: stops, logQ: tokens.reduce((a, b) => a + b, stops[latent.length]) }
  })
}

/**
 * @file log q of latents under the policy, as a graph: of every token, of ⊤ at every prefix and of every prefix, within the
 * limits of the support. The learn step puts an objective on top; without one it scores latents.
 */
import type { LoraAdapter, LoraConfig } from '../adapters/lora.ts'
import type { ModelDescription } from '../models/architecture.ts'
import { packedForward } from '../models/attention.ts'
import { weightInputs } from '../models/frozen.ts'
import { chosenLogits, constrainedLogNormaliser, headOf, logitOf, logNormaliser } from '../models/head.ts'
import type { Lane } from '../models/lane.ts'
import { adapterInputs, linearLayers } from '../models/linear.ts'
import { latentInputs, packRows, packTokens, vector } from '../models/packing.ts'
import { bool, float32, int64 } from '../runtime/host-tensor.ts'
import { statesOf, type TokenLists } from '../sampling/latent.ts'
import { innerBias, isConstrained, isForced, isTerminable, type Support } from '../sampling/support.ts'
import { concat, gather, regroup, reshape, runningSum, sub, where, zeros } from '../tensor/ops/index.ts'
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
  queryPlaces: whole(sumDims('prompt', 'latent')), // their inverse, −1 for tokens that are not asked
  actionTokens: whole('actions'), // the latent tokens that the policy chose
  actionRows: whole('samples', 'steps'), // where each latent's actions are among them, as in packing.ts
  actionPlaces: whole('actions'),
  parents: whole('actions'), // the query from which each action is predicted
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
): { logTokens: Tensor; logStop: Tensor; logPrefix: Tensor; hidden: Tensor } {
  const packing = inputs as { [Name in keyof typeof policyInputs]: Tensor }
  const all = model.hiddenStates({
    ...packedForward(packing, model.dimensions),
    ...linearLayers(model, inputs, lora),
  })
  const { queries, queryPlaces, parents, prefixQueries, actionRows, actionPlaces, actionTokens, stop } = packing
  const head = headOf(model, inputs)
  const hidden = regroup(all, queries, queryPlaces, { partial: true }) // [queries, width]
  const logitOfStop = logitOf(stop, hidden, head)
  const normaliser = constrained
    ? constrainedLogNormaliser(hidden, head, { bias: inputs.bias, logitOfStop, terminable: inputs.mayStop })
    : logNormaliser(hidden, head)

  const ofTokens = sub(chosenLogits(hidden, head, parents, actionTokens), gather(normaliser, parents)) // [actions, 1]
  const onGrid = regroup(reshape(ofTokens, [actionTokens.shape[0]]), actionRows, actionPlaces)
  const logTokens = where(packing.onLatent, onGrid, 0)
  const ofStop = reshape(sub(logitOfStop, normaliser), [queries.shape[0]])
  const logStop = where(packing.forced, 0, gather(ofStop, prefixQueries))
  const logPrefix = concat([zeros([actionRows.shape[0], 1]), runningSum(logTokens)], 1)
  return { logTokens, logStop, logPrefix, hidden }
}

/** The arrays of latents as the graph reads them. */
export function policyFeeds({ prompt, latents, inserted }: PromptLatents, support: Support, vocabulary: number) {
  const { inputs, latentToken } = packTokens(prompt, latents)
  const tokens = prompt.length + inputs.latentTokens.data.length
  const states = latents.map((latent, n) => statesOf(latent.length, inserted?.[n]))
  const actions = latents.map((latent, n) => states[n].slice(0, -1).map((place) => latent[place]))
  if (actions.every(({ length }) => length === 0)) actions[0] = [prompt[0]] // a grid needs a token to pad with
  const actionGrid = packRows(actions)
  const [samples, steps] = actionGrid.rows.shape

  // One query for each state in which the policy chooses; the empty prefix is one for all latents.
  const queries = [{ token: latentToken(0, -1), actions: 0 }]
  const queryOf = latents.map((_, n) =>
    states[n].map((place, k) => {
      if (place === 0 || isForced(support, k)) return 0 // where ⊤ is forced nothing is asked
      return queries.push({ token: latentToken(n, place - 1), actions: k }) - 1
    }),
  )
  const places = new Array<number>(tokens).fill(-1)
  for (const [query, { token }] of queries.entries()) places[token] = query
  const parents = actions.flatMap((own, n) => own.map((_, k) => queryOf[n][k]))
  const onStates = <T>(of: (latent: number, state: number) => T) => grid(samples, steps + 1, of)
  return {
    ...inputs,
    queries: int64(
      [queries.length],
      queries.map(({ token }) => token),
    ),
    queryPlaces: int64([tokens], places),
    actionTokens: vector(actions.flat()),
    actionRows: actionGrid.rows,
    actionPlaces: actionGrid.places,
    parents: vector(parents),
    prefixQueries: int64(
      [samples, steps + 1],
      onStates((n, k) => queryOf[n][k] ?? 0),
    ),
    onLatent: bool(
      [samples, steps],
      grid(samples, steps, (n, k) => k < states[n].length - 1),
    ),
    stop: int64([1], [support.stop]),
    forced: bool(
      [samples, steps + 1],
      onStates((_, k) => isForced(support, k)),
    ),
    ...(isConstrained(support) && {
      bias: float32([vocabulary], innerBias(support, vocabulary)),
      mayStop: bool(
        [queries.length, 1],
        queries.map(({ actions }) => isTerminable(support, actions)),
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

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
import { latentInputs, packTokens } from '../models/packing.ts'
import { bool, float32, int64 } from '../runtime/host-tensor.ts'
import { innerBias, isConstrained, isForced, isTerminable, type Support } from '../sampling/support.ts'
import { concat, gather, regroup, reshape, runningSum, sub, where, zeros } from '../tensor/ops/index.ts'
import { buildProgram } from '../tensor/program.ts'
import { type Dim, sumDims } from '../tensor/shape.ts'
import type { Tensor, TensorType } from '../tensor/tensor.ts'

/** Latents of one prompt. */
export type PromptLatents = { prompt: readonly number[]; latents: readonly (readonly number[])[] }

/** What the policy says of one latent. */
export type PolicyScore = {
  /** log q(z_i | X, z_<i), [length]. */
  logTokens: number[]
  /** log q(⊤ | X, prefix), [prefixes]; −∞ where ⊤ is impossible, 0 where it is forced. */
  logStop: number[]
  /** log q(z_1..z_n ⊤ | X), nats. */
  logQ: number
}

/** Prefixes of latents of up to `length` tokens, the empty one among them. */
export const PREFIXES = sumDims('length', 1)
const whole = (...shape: Dim[]): TensorType => ({ dtype: 'int64', shape })
export const yesNo = (...shape: Dim[]): TensorType => ({ dtype: 'bool', shape })

/** What the policy's log-probabilities are computed from, besides tokens. */
const policyInputs = {
  ...latentInputs,
  queries: whole('queries'), // packed tokens after which something is predicted
  queryPlaces: whole(sumDims('prompt', 'latent')), // their inverse, −1 for tokens that are not asked
  parents: whole('latent'), // the query from which each latent token is predicted
  prefixQueries: whole('samples', PREFIXES), // the query of each prefix; any where there is none
  onLatent: yesNo('samples', 'length'),
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
  { prompt, latents }: PromptLatents,
): Promise<PolicyScore[]> {
  const constrained = isConstrained(support)
  const session = await lane.session(`log q ${JSON.stringify([adapter?.config, constrained])}`, () =>
    scoreProgram(model, adapter?.config, constrained),
  )
  const { outputs } = await session.run({
    ...(adapter && (await lane.adapter(adapter))),
    ...policyFeeds({ prompt, latents }, support, model.dimensions.vocabulary),
  })
  return scoresOf(latents, support, outputs.logTokens.data as Float32Array, outputs.logStop.data as Float32Array)
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

/** log q of tokens, of ⊤ and of prefixes: [samples, length], [samples, prefixes], [samples, prefixes]. */
export function policyLogProbabilities(
  model: ModelDescription,
  inputs: Record<string, Tensor>,
  constrained: boolean,
  lora?: LoraConfig,
): { logTokens: Tensor; logStop: Tensor; logPrefix: Tensor } {
  const packing = inputs as { [Name in keyof typeof policyInputs]: Tensor }
  const all = model.hiddenStates({
    ...packedForward(packing, model.dimensions),
    ...linearLayers(model, inputs, lora),
  })
  const { queries, queryPlaces, parents, prefixQueries, latentRows, latentPlaces, latentTokens, stop } = packing
  const head = headOf(model, inputs)
  const hidden = regroup(all, queries, queryPlaces, { partial: true }) // [queries, width]
  const logitOfStop = logitOf(stop, hidden, head)
  const normaliser = constrained
    ? constrainedLogNormaliser(hidden, head, { bias: inputs.bias, logitOfStop, terminable: inputs.mayStop })
    : logNormaliser(hidden, head)

  const ofTokens = sub(chosenLogits(hidden, head, parents, latentTokens), gather(normaliser, parents)) // [latent, 1]
  const onGrid = regroup(reshape(ofTokens, [latentTokens.shape[0]]), latentRows, latentPlaces)
  const logTokens = where(packing.onLatent, onGrid, 0)
  const ofStop = reshape(sub(logitOfStop, normaliser), [queries.shape[0]])
  const logStop = where(packing.forced, 0, gather(ofStop, prefixQueries))
  const logPrefix = concat([zeros([latentRows.shape[0], 1]), runningSum(logTokens)], 1)
  return { logTokens, logStop, logPrefix }
}

/** The arrays of latents as the graph reads them. */
export function policyFeeds({ prompt, latents }: PromptLatents, support: Support, vocabulary: number) {
  const { inputs, latentToken } = packTokens(prompt, latents)
  const [samples, length] = inputs.latentRows.shape
  const tokens = prompt.length + inputs.latentTokens.data.length

  // One query for each prefix after which the policy chooses; the empty prefix is one for all latents.
  const queries = [{ token: latentToken(0, -1), prefix: 0 }]
  const queryOf = latents.map((latent, n) => [
    0,
    ...latent.map((_, i) => {
      if (isForced(support, i + 1)) return 0 // ⊤ is forced: nothing is asked
      return queries.push({ token: latentToken(n, i), prefix: i + 1 }) - 1
    }),
  ])
  const places = new Array<number>(tokens).fill(-1)
  for (const [query, { token }] of queries.entries()) places[token] = query
  const parents = latents.flatMap((latent, n) => latent.map((_, i) => queryOf[n][i]))
  if (parents.length === 0) parents.push(0) // the token that stands in where every latent is empty

  const onPrefixes = <T>(of: (latent: number, prefix: number) => T) => grid(samples, length + 1, of)
  return {
    ...inputs,
    queries: int64(
      [queries.length],
      queries.map(({ token }) => token),
    ),
    queryPlaces: int64([tokens], places),
    parents: int64([parents.length], parents),
    prefixQueries: int64(
      [samples, length + 1],
      onPrefixes((n, i) => queryOf[n][i] ?? 0),
    ),
    onLatent: bool(
      [samples, length],
      grid(samples, length, (n, i) => i < latents[n].length),
    ),
    stop: int64([1], [support.stop]),
    forced: bool(
      [samples, length + 1],
      onPrefixes((_, i) => isForced(support, i)),
    ),
    ...(isConstrained(support) && {
      bias: float32([vocabulary], innerBias(support, vocabulary)),
      mayStop: bool(
        [queries.length, 1],
        queries.map(({ prefix }) => isTerminable(support, prefix)),
      ),
    }),
  }
}

/** A [rows, columns] grid, row by row. */
export const grid = <T>(rows: number, columns: number, of: (row: number, column: number) => T): T[] =>
  Array.from({ length: rows * columns }, (_, k) => of(Math.floor(k / columns), k % columns))

/** Reads the program's grids, latent by latent. */
export function scoresOf(
  latents: PromptLatents['latents'],
  support: Support,
  logTokens: Float32Array,
  logStop: Float32Array,
): PolicyScore[] {
  const length = logTokens.length / latents.length
  return latents.map((latent, n) => {
    const tokens = Array.from(logTokens.subarray(n * length, n * length + latent.length))
    const stops = Array.from(logStop.subarray(n * (length + 1), n * (length + 1) + latent.length + 1))
    const logStops = stops.map((value, i) => (isTerminable(support, i) ? value : Number.NEGATIVE_INFINITY))
    return { logTokens: tokens, logStop: logStops, logQ: tokens.reduce((a, b) => a + b, logStops[latent.length]) }
  })
}

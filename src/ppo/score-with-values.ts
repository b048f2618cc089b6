/** @file What a policy and its value head say of latents as they were sampled. */
import type { LoraAdapter, LoraConfig } from '../adapters/lora.ts'
import {
  type PolicyScore,
  type PromptLatents,
  policyFeeds,
  policyInputTypes,
  policyLogProbabilities,
  scoresOf,
} from '../gflownet/policy.ts'
import type { ModelDescription } from '../models/architecture.ts'
import type { Lane } from '../models/lane.ts'
import { adapterInputs } from '../models/linear.ts'
import type { NamedTensors } from '../runtime/host-tensor.ts'
import { isConstrained, type Support } from '../sampling/support.ts'
import { buildProgram } from '../tensor/program.ts'
import { actionGrid } from './actions.ts'
import { valueInputTypes, valuesOf } from './value-head.ts'

/** log q of latents of one prompt as `scoreUnderPolicy` gives it, and the value before each action of each: [latents][actions]. */
export async function scoreWithValues(
  lane: Lane,
  {
    model,
    adapter,
    critic,
    support,
  }: { model: ModelDescription; adapter: LoraAdapter; critic: NamedTensors; support: Support },
  given: PromptLatents,
): Promise<{ scores: PolicyScore[]; values: number[][] }> {
  const constrained = isConstrained(support)
  const session = await lane.session(`log q and values ${JSON.stringify([adapter.config, constrained])}`, () =>
    valueProgram(model, adapter.config, constrained),
  )
  const { outputs } = await session.run({
    ...(await lane.adapter(adapter)),
    ...policyFeeds(given, support, model.dimensions.vocabulary),
    ...critic,
  })
  const { logTokens, logStop, values } = outputs
  const states = values.shape[1]
  return {
    scores: scoresOf(given, support, logTokens.data as Float32Array, logStop.data as Float32Array),
    values: actionGrid(given, support).actions.map((count, n) =>
      Array.from((values.data as Float32Array).subarray(n * states, n * states + count)),
    ),
  }
}

function valueProgram(model: ModelDescription, lora: LoraConfig, constrained: boolean) {
  const types = {
    ...policyInputTypes(model, constrained),
    ...adapterInputs(model, lora),
    ...valueInputTypes(model.dimensions.width),
  }
  return buildProgram('log q and values', types, (inputs) => {
    const { logTokens, logStop, hidden } = policyLogProbabilities(model, inputs, constrained, lora)
    return { logTokens, logStop, values: valuesOf(hidden, inputs.prefixQueries, inputs) }
  })
}

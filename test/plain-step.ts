/**
 * @file A training step written as the paper writes it, slow and obvious, to hold the optimised one against: every latent runs
 * alone and whole through the model, every logit is made, masks are written out, equation 3 goes over its pairs one by one, and every
 * prefix is rewarded by a pass of its own. Nothing is packed, shared, cached or rearranged.
 */
import { isTarget, type LoraAdapter, type LoraConfig, scaleOf } from '../src/adapters/lora.ts'
import type { LearnBatch } from '../src/gflownet/learn-step.ts'
import { logSumExp } from '../src/log-space.ts'
import type { ForwardContext, ModelDescription } from '../src/models/architecture.ts'
import { matrixOf, vectorOf, weightInputs } from '../src/models/frozen.ts'
import type { Lane } from '../src/models/lane.ts'
import { adapterInputs } from '../src/models/linear.ts'
import { textLogits } from '../src/models/score.ts'
import { bool, float32, int64, type NamedTensors } from '../src/runtime/host-tensor.ts'
import { statesOf } from '../src/sampling/latent.ts'
import { innerBias, isForced, isTerminable, type Support } from '../src/sampling/support.ts'
import { gradients } from '../src/tensor/gradient.ts'
import {
  add,
  concat,
  constant,
  div,
  logSoftmax,
  matmul,
  mul,
  softmax,
  split,
  square,
  storedProduct,
  storedRows,
  sub,
  sumAll,
  transpose,
  where,
} from '../src/tensor/ops/index.ts'
import { buildProgram } from '../src/tensor/program.ts'
import type { Tensor } from '../src/tensor/tensor.ts'

export type PlainSetting = { model: ModelDescription; adapter: LoraAdapter; support: Support; lambda: number }

/** The loss of equation 3 and its gradients, as `learnStep` gives them. */
export async function plainStep(
  lane: Lane,
  { model, adapter, support, lambda }: PlainSetting,
  batch: LearnBatch,
): Promise<{ loss: number; gradients: NamedTensors }> {
  const matrices = adapterInputs(model, adapter.config)
  const names = Object.keys(matrices)
  const key = `plain ${JSON.stringify([batch, support.minTokens, support.maxTokens, [...(support.bias ?? [])], lambda])}`
  const session = await lane.session(key, () =>
    buildProgram('plain step', { ...weightInputs(model), ...matrices }, (inputs) => {
      const estimates = batch.latents.map((_, n) => estimatesOf(model, inputs, adapter.config, support, batch, n))
      const loss = equationThree(estimates, lambda, isTerminable(support, 0))
      const slopes = gradients(
        loss,
        names.map((name) => inputs[name]),
      )
      return { loss, ...Object.fromEntries(names.map((name, i) => [`slope ${name}`, slopes[i]])) }
    }),
  )
  const { outputs } = await session.run(await lane.adapter(adapter))
  return {
    loss: Number(outputs.loss.data[0]),
    gradients: Object.fromEntries(names.map((name) => [name, outputs[`slope ${name}`]])),
  }
}

/** u_i of a state where the latent may end, the state's number, and what it counts for. */
type Estimate = { u: Tensor; state: number; weight: number }

/** u_i = log R(z_1..z_i ⊤) − log q(⊤ | X z_1..z_i) − Σ log q(z_k | X z_<k) of one latent, each a scalar. */
function estimatesOf(
  model: ModelDescription,
  inputs: Record<string, Tensor>,
  lora: LoraConfig,
  support: Support,
  { prompt, latents, inserted, logRewards, inclusion }: LearnBatch,
  n: number,
): Estimate[] {
  const latent = latents[n]
  const states = statesOf(latent.length, inserted?.[n])
  const text = [...prompt, ...latent]
  const { vocabulary } = model.dimensions
  const limits = new Float32Array(text.length * vocabulary)
  for (const [k, place] of states.entries()) {
    const row = innerBias(support, vocabulary)
    if (isTerminable(support, k)) row[support.stop] = 0
    limits.set(row, (prompt.length + place - 1) * vocabulary)
  }
  const logits = add(allLogits(model, inputs, lora, text), constant(float32([text.length, vocabulary], limits)))
  const logQ = logSoftmax(logits)
  const after = (place: number, token: number) => elementOf(logQ, prompt.length + place - 1, token)

  let logPrefix: Tensor = constant(0)
  const estimates: Estimate[] = []
  for (const [state, place] of states.entries()) {
    const logStop = isForced(support, state) ? constant(0) : after(place, support.stop)
    const logReward = logRewards![n][place]
    if (isTerminable(support, state) && logReward !== Number.NEGATIVE_INFINITY) {
      const isInner = state > 0 && state < states.length - 1
      const weight = isInner ? 1 / (inclusion?.[n] ?? 1) : 1
      estimates.push({ u: sub(sub(constant(logReward), logStop), logPrefix), state, weight })
    } else if (isTerminable(support, state)) estimates.push({ u: constant(0), state, weight: 0 })
    if (state < states.length - 1) logPrefix = add(logPrefix, after(place, latent[place]))
  }
  return estimates
}

/** x[row, column] as a scalar. */
function elementOf(x: Tensor, row: number, column: number): Tensor {
  const [rows, columns] = x.shape as number[]
  const chosen = Array.from({ length: rows * columns }, (_, cell) => cell === row * columns + column)
  return sumAll(where(constant(bool([rows, columns], chosen)), x, 0))
}

/** Σ λ^(j−i−1) w_i w_j (u_i − u_j)² / Σ λ^(j−i−1) over all pairs; with their mean in the place of a root that may not end. */
function equationThree(estimates: readonly Estimate[][], lambda: number, rootTerminable: boolean): Tensor {
  let sum: Tensor = constant(0)
  let total = 0
  for (const own of estimates)
    for (const [j, to] of own.entries())
      for (const from of own.slice(0, j)) {
        const decay = lambda ** (to.state - from.state - 1)
        sum = add(sum, mul(square(sub(from.u, to.u)), decay * from.weight * to.weight))
        total += decay
      }
  if (!rootTerminable) {
    const all = estimates.flat()
    const known = all.reduce((total, { weight }) => total + weight, 0)
    const mean = div(
      all.map(({ u, weight }) => mul(u, weight)).reduce((a, b) => add(a, b)),
      known,
    )
    for (const { u, weight } of all) sum = add(sum, mul(square(sub(u, mean)), weight))
    total += all.length
  }
  return div(sum, total)
}

/** All logits of one text, [tokens, vocabulary]. */
function allLogits(
  model: ModelDescription,
  inputs: Record<string, Tensor>,
  lora: LoraConfig,
  text: readonly number[],
): Tensor {
  const whole = (values: readonly number[]) => constant(int64([values.length], values))
  const linear = (module: string, x: Tensor) => {
    let y = storedProduct(x, matrixOf(model, inputs, `${module}.weight`))
    if (model.weights[`${module}.bias`]) y = add(y, vectorOf(model, inputs, `${module}.bias`))
    if (!isTarget(lora, module)) return y
    const [a, b] = ['A', 'B'].map((part) => transpose(inputs[`${module}.lora_${part}.weight`], [1, 0]))
    return add(y, mul(matmul(matmul(x, a), b), scaleOf(lora, module)))
  }
  const hidden = model.hiddenStates({
    tokens: whole(text),
    positions: whole(text.map((_, i) => i)),
    weight: (name) => vectorOf(model, inputs, name),
    embed: (name, ids) => storedRows(matrixOf(model, inputs, name), ids),
    linear,
    linears: (modules, x) => modules.map((module) => linear(module, x)),
    attend: causalAttention(model, text.length),
  })
  const logits = storedProduct(hidden, matrixOf(model, inputs, model.head))
  return model.headBias ? add(logits, vectorOf(model, inputs, model.headBias)) : logits
}

/** One head after another: softmax(q·kᵀ / √width, later tokens masked)·v. */
function causalAttention({ dimensions }: ModelDescription, tokens: number): ForwardContext['attend'] {
  const { heads, keyValueHeads, headWidth } = dimensions
  const mask = Array.from({ length: tokens * tokens }, (_, cell) =>
    cell % tokens <= Math.floor(cell / tokens) ? 0 : Number.NEGATIVE_INFINITY,
  )
  const past = constant(float32([tokens, tokens], mask))
  const perHead = (x: Tensor, count: number) => split(x, Array(count).fill(headWidth), 1)
  return (_layer, query, key, value) => {
    const [keys, values] = [key, value].map((x) => perHead(x, keyValueHeads))
    const mixed = perHead(query, heads).map((q, head) => {
      const shared = Math.floor((head * keyValueHeads) / heads)
      const scores = mul(matmul(q, transpose(keys[shared], [1, 0])), 1 / Math.sqrt(headWidth))
      return matmul(softmax(add(scores, past)), values[shared])
    })
    return concat(mixed, 1)
  }
}

/** log p(z_1..z_i ⊤ Y | X) under the reference model wherever a latent may end, −∞ elsewhere: a pass for each. */
export const plainRewards = (
  lane: Lane,
  { model, support }: Pick<PlainSetting, 'model' | 'support'>,
  { prompt, latents, inserted }: Pick<LearnBatch, 'prompt' | 'latents' | 'inserted'>,
  ending: readonly number[],
): Promise<number[][]> =>
  Promise.all(
    latents.map(async (latent, n) => {
      const row = Array.from(latent, () => Number.NEGATIVE_INFINITY).concat(Number.NEGATIVE_INFINITY)
      for (const [state, prefix] of statesOf(latent.length, inserted?.[n]).entries()) {
        if (!isTerminable(support, state)) continue
        const text = [...prompt, ...latent.slice(0, prefix), support.stop, ...ending]
        const logits = await textLogits(lane, { model }, text)
        const { vocabulary } = model.dimensions
        row[prefix] = text.slice(prompt.length).reduce((sum, token, i) => {
          const from = (prompt.length + i - 1) * vocabulary
          const own = logits.subarray(from, from + vocabulary)
          return sum + own[token] - logSumExp(own)
        }, 0)
      }
      return row
    }),
  )

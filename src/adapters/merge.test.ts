import { expect, it } from 'vitest'
import { float32 } from '../runtime/host-tensor.ts'
import type { LoraAdapter } from './lora.ts'
import { mergeAdapter } from './merge.ts'

/** Numbers that float32 holds exactly, so that every product and sum below is exact too. */
const a = [1, 2, -1, 0.5, 0, 4] // [rank 2, inputs 3]
const b = [1, 0, 0, 2, -1, 1, 0.5, 0.25] // [outputs 4, rank 2]
const adapter = (changes: object = {}): LoraAdapter => ({
  config: { rank: 2, alpha: 4, targets: ['q'], ...changes },
  weights: { 'h.q.lora_A.weight': float32([2, 3], a), 'h.q.lora_B.weight': float32([4, 2], b) },
})
const layer = { module: 'h.q', inputs: 3, outputs: 4, inputsFirst: false }
const weight = Array.from({ length: 12 }, (_, i) => i)

/** W + scale·B·A element by element, [outputs, inputs]. */
const expected = (scale: number) =>
  weight.map((w, i) => {
    const [output, input] = [Math.floor(i / 3), i % 3]
    return w + scale * (b[2 * output] * a[input] + b[2 * output + 1] * a[3 + input])
  })

it('adds scale · B·A to a weight [outputs, inputs]', () => {
  const merged = float32([4, 3], weight)
  mergeAdapter(merged, layer, adapter())
  expect([...merged.data]).toEqual(expected(2))
})

it('scales by the alpha of the module and by the root of its rank', () => {
  const merged = float32([4, 3], weight)
  mergeAdapter(merged, layer, adapter({ alphaPattern: { q: 8 }, rankStabilised: true }))
  const wanted = expected(8 / Math.SQRT2)
  expect(Math.max(...wanted.map((value, i) => Math.abs(value - Number(merged.data[i]))))).toBeLessThan(1e-5)
})

it('leaves a layer alone that is no target', () => {
  const merged = float32([4, 3], weight)
  mergeAdapter(merged, { ...layer, module: 'h.k' }, adapter())
  expect([...merged.data]).toEqual(weight)
})

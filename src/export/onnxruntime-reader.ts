/** @file An exported decoder in ONNX Runtime itself, which is also what is inside transformers.js. */
import * as ort from 'onnxruntime-node'
import type { ModelDescription } from '../models/architecture.ts'
import { grantedCores } from '../runtime/threads.ts'
import { cacheNames } from './decoder-graph.ts'
import type { OnnxReader } from './onnx-reader.ts'

/** Opens a model file. Whoever opened it disposes it. */
export async function openOnnxRuntime(
  path: string,
  { dimensions: { layers, keyValueHeads, headWidth } }: ModelDescription,
  threads = grantedCores(),
): Promise<OnnxReader<Record<string, ort.Tensor>>> {
  const session = await ort.InferenceSession.create(path, { intraOpNumThreads: threads, logSeverityLevel: 4 })
  const names = Array.from({ length: layers }, (_, layer) => cacheNames(layer)).flat()
  return {
    name: 'onnxruntime',
    async forward({ tokens, mask, cache }) {
      const rows = tokens.length
      const empty = () => new ort.Tensor('float32', new Float32Array(0), [rows, keyValueHeads, 0, headWidth])
      const positions = mask.map((row, i) => positionsOf(row).slice(-tokens[i].length))
      const results = await session.run({
        input_ids: whole(tokens),
        attention_mask: whole(mask),
        position_ids: whole(positions),
        ...(cache ?? Object.fromEntries(names.map(({ past }) => [past, empty()]))),
      })
      return {
        logits: results.logits.data as Float32Array,
        cache: Object.fromEntries(names.map(({ past, present }) => [past, results[present]])),
      }
    },
    dispose: () => session.release(),
  }
}

/** How many tokens come before each one; 1 for padding, as transformers has it. */
function positionsOf(mask: readonly number[]): number[] {
  let before = 0
  return mask.map((present) => (present ? before++ : 1))
}

const whole = (rows: readonly (readonly number[])[]) =>
  new ort.Tensor('int64', BigInt64Array.from(rows.flat(), BigInt), [rows.length, rows[0].length])

/**
 * @file An exported decoder in transformers.js, the software that it is made for. It is an optional peer dependency:
 * with ONNX Runtime for browsers and an image library it is large, and only this check needs it.
 */
import { resolve } from 'node:path'
import { UserError } from '../errors.ts'
import type { OnnxReader } from './onnx-reader.ts'
import type { OnnxDtype } from './onnx-weights.ts'

const PACKAGE = '@huggingface/transformers'
export const INSTALL = `npm install ${PACKAGE}@4`

/** The part of its interface that is used here. */
type Tensor = { type: string; data: unknown; dims: readonly number[] }
type Cache = Record<string, Tensor>
type Model = {
  (inputs: { input_ids: Tensor; attention_mask: Tensor; past_key_values?: Cache }): Promise<Record<string, Tensor>>
  dispose(): Promise<unknown>
}
type LoadOptions = { local_files_only: true; dtype?: OnnxDtype; device?: 'cpu'; session_options?: object }
type Loader<Loaded> = { from_pretrained(folder: string, options: LoadOptions): Promise<Loaded> }
type TransformersJs = {
  AutoModelForCausalLM: Loader<Model>
  AutoTokenizer: Loader<{ encode(text: string, options: { add_special_tokens: boolean }): number[] }>
  DynamicCache: new (entries: Record<string, Tensor>) => Cache
  Tensor: new (type: string, data: BigInt64Array, dims: readonly number[]) => Tensor
}

/** @throws UserError saying how to get it where it is not installed */
export async function loadTransformersJs(): Promise<TransformersJs> {
  try {
    return await import(PACKAGE)
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException
    const isAbsent = code === 'ERR_MODULE_NOT_FOUND' || message.startsWith(`Could not resolve "${PACKAGE}"`) // bundlers'
    if (!isAbsent) throw error
    throw new UserError({
      what: `${PACKAGE}, which reads the export to verify it, is not installed`,
      fix: `${INSTALL}, or verify with --reader onnxruntime`,
    })
  }
}

/** Opens an exported folder. Whoever opened it disposes it. */
export async function openTransformersJs(
  folder: string,
  dtype: OnnxDtype,
  threads?: number,
): Promise<OnnxReader<Cache>> {
  const { AutoModelForCausalLM, DynamicCache, Tensor } = await loadTransformersJs()
  const session_options = { ...(threads && { intraOpNumThreads: threads }), logSeverityLevel: 4 }
  // A relative path could be the name of a model on the hub.
  const options: LoadOptions = { local_files_only: true, dtype, device: 'cpu', session_options }
  const model = await AutoModelForCausalLM.from_pretrained(resolve(folder), options)
  const whole = (rows: readonly (readonly number[])[]) =>
    new Tensor('int64', BigInt64Array.from(rows.flat(), BigInt), [rows.length, rows[0].length])
  return {
    name: 'transformers.js',
    async forward({ tokens, mask, cache }) {
      const past = cache && { past_key_values: cache }
      const { logits, ...rest } = await model({ input_ids: whole(tokens), attention_mask: whole(mask), ...past })
      const present = Object.entries(rest).map(([name, value]) => [name.replace('present', 'past_key_values'), value])
      return { logits: logits.data as Float32Array, cache: new DynamicCache(Object.fromEntries(present)) }
    },
    dispose: async () => void (await model.dispose()),
  }
}

/**
 * Does its tokenizer cut texts as ours does?
 * @throws UserError (exit code 1) with the text that it cuts otherwise, or with its own complaint
 */
export async function verifyTokenizer(
  folder: string,
  texts: readonly string[],
  encode: (text: string) => readonly number[],
): Promise<void> {
  const { AutoTokenizer } = await loadTransformersJs()
  const fail = (what: string) => new UserError({ what, where: `${folder}/tokenizer.json`, fix: 'nothing was kept' }, 1)
  const tokenizer = await AutoTokenizer.from_pretrained(resolve(folder), { local_files_only: true }).catch((error) => {
    throw fail(`transformers.js cannot read the tokenizer: ${(error as Error).message}`)
  })
  for (const text of texts) {
    const [ours, theirs] = [encode(text), tokenizer.encode(text, { add_special_tokens: false })]
    if (`${ours}` !== `${theirs}`)
      throw fail(`transformers.js makes tokens ${theirs} of ${JSON.stringify(text)}, and flowtune ${ours}`)
  }
}

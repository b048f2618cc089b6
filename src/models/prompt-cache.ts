/**
 * @file Prompts that a lane has read: their keys, values and hidden states stay where programs run, within a number of bytes,
 * those that were asked for longest ago leaving first. What is kept changes no result: a prompt that is not there is read by the
 * same program as one that is.
 */
import type { LoraAdapter } from '../adapters/lora.ts'
import { sizeOf } from '../runtime/host-tensor.ts'
import type { ResidentTensor, Runtime } from '../runtime/session.ts'

/** What a program made of a prompt, by name. */
export type PromptRead = Record<string, ResidentTensor>

export type PromptCache = {
  /**
   * What was read of a prompt under an adapter, or under the model alone. It stays as long as `use` works with it.
   * @param read  reads it where it is not there
   */
  use<Result>(
    asked: { prompt: readonly number[]; adapter?: LoraAdapter },
    read: () => Promise<PromptRead>,
    use: (read: PromptRead) => Promise<Result>,
  ): Promise<Result>
}

/** Bytes that prompts which were read may take: some 90 prompts of 60 tokens at 30 layers with 3 heads of 64 for keys. */
export const PROMPT_BYTES = 256e6

type Entry = { adapter?: LoraAdapter; read: Promise<PromptRead>; bytes: number; users: number }

const FLOAT_BYTES = 4

/** @param mostBytes  that stay when nobody works with them; 0 keeps nothing */
export function openPromptCache(runtime: Pick<Runtime, 'release'>, mostBytes: number): PromptCache {
  const entries = new Map<string, Entry>() // the latest asked for last
  const numbers = new WeakMap<object, number>()
  let lastNumber = 0
  const numberOf = (adapter: LoraAdapter) => {
    if (!numbers.has(adapter)) numbers.set(adapter, ++lastNumber)
    return numbers.get(adapter)!
  }

  async function release(gone: readonly (readonly [string, Entry])[]) {
    for (const [key] of gone) entries.delete(key)
    const tensors = await Promise.all(gone.map(([, { read }]) => read))
    if (gone.length > 0) await runtime.release(tensors.flatMap((of) => Object.values(of)))
  }

  /** Those that nobody works with and that no longer fit, the oldest first; one that is too large by itself pushes out no other. */
  function superfluous() {
    const idle = [...entries].filter(([, { users }]) => users === 0)
    const tooLarge = idle.filter(([, { bytes }]) => bytes > mostBytes)
    const rest = idle.filter(([, { bytes }]) => bytes <= mostBytes)
    let bytes = rest.reduce((sum, [, entry]) => sum + entry.bytes, 0)
    const oldest = rest.filter(([, entry]) => {
      if (bytes <= mostBytes) return false
      bytes -= entry.bytes
      return true
    })
    return [...tooLarge, ...oldest]
  }

  /** Of an adapter that has been updated since. */
  const outdated = (adapter: LoraAdapter) =>
    [...entries].filter(
      ([, entry]) => entry.users === 0 && entry.adapter !== adapter && entry.adapter?.config === adapter.config,
    )

  return {
    async use({ prompt, adapter }, read, use) {
      if (adapter) await release(outdated(adapter))
      const key = `${adapter ? numberOf(adapter) : 'model'}: ${prompt}`
      const entry = entries.get(key) ?? { adapter, read: read(), bytes: 0, users: 0 }
      entries.delete(key)
      entries.set(key, entry)
      entry.users++
      try {
        const tensors = await entry.read
        entry.bytes = Object.values(tensors).reduce((sum, { shape }) => sum + FLOAT_BYTES * sizeOf(shape), 0)
        return await use(tensors)
      } catch (error) {
        // A failed read is not kept: the next one may succeed.
        await entry.read.catch(() => entries.delete(key))
        throw error
      } finally {
        entry.users--
        await release(superfluous())
      }
    },
  }
}

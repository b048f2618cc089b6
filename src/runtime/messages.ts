/** @file What the main thread and the worker that runs programs say to each other. */
import type { HostTensor, NamedTensors } from './host-tensor.ts'
import type { Device } from './providers.ts'

/** Where a session runs, on how many threads, and the folder of graphs that were optimised before, if there is one. */
export type Placement = { device: Device; threads: number; graphCache?: string }

/** A program, and which tensors are given to it whenever it runs, or are part of it. */
export type Opening = { name: string; bytes: Uint8Array } & Record<'bound' | 'constants', Record<string, number>> &
  Placement

/** Rows of the resident tensor of a number. */
export type Rows = { of: number; from: number; rows: number }

/** What a run reads: an array, or by its number what is there. */
export type Value = HostTensor | number | Rows

/** Resident tensors and sessions are known by numbers that the main thread chooses. */
export type Request = { id: number } & (
  | { kind: 'upload'; residents: number[]; tensors: HostTensor[] }
  | { kind: 'allocate'; residents: number[]; shapes: (readonly number[])[] }
  | { kind: 'release'; residents: number[] }
  | { kind: 'read'; residents: Record<string, number> }
  | ({ kind: 'open'; session: number } & Opening)
  | ({ kind: 'make'; keep: Record<string, number> } & Opening)
  | {
      kind: 'run'
      session: number
      inputs: [name: string, value: Value][]
      keep: Record<string, number>
      into: Record<string, Rows>
    }
  | { kind: 'close'; session: number }
  | { kind: 'end' }
)

export type RunReply = { outputs: NamedTensors; kept: Record<string, Pick<HostTensor, 'dtype' | 'shape'>> }

export type Reply = { id: number } & ({ result?: RunReply } | { error: string })

/** A request without its number: each kind keeps its own fields. */
export type RequestBody = Request extends infer R ? (R extends unknown ? Omit<R, 'id'> : never) : never

/**
 * @file Where a model runs. A lane is one runtime with the model's weights in it. A large model has one lane that uses
 * every core in each operation, if no more are asked for; a small one, whose operations are too short to share, has a lane per core and
 * works on several prompts at once. What is computed does not depend on the lane.
 */
import type { LoraAdapter } from '../adapters/lora.ts'
import { allEnded } from '../all-ended.ts'
import type { NamedTensors } from '../runtime/host-tensor.ts'
import { openRuntime, type RuntimeOptions } from '../runtime/node.ts'
import type { Device } from '../runtime/providers.ts'
import type { Derivation, Program, ResidentTensor, Runtime, Session } from '../runtime/session.ts'
import { openPromptCache, PROMPT_BYTES, type PromptCache } from './prompt-cache.ts'

export type Lane = {
  readonly runtime: Runtime
  /** The session of a program, opened when it is first asked for. Weights are bound to it. */
  session(key: string, build: () => Program): Promise<Session>
  /**
   * The matrices of an adapter. Those of two stay: a policy's and a reference model's. An adapter with the config of one
   * that is there (the same object) is the same one after an update, and takes its place.
   */
  adapter(adapter: LoraAdapter): Promise<Record<string, ResidentTensor>>
  /** Prompts that were read. */
  readonly prompts: PromptCache
  /** Memory for arrays [rows, width] that programs write. There is one: it is theirs who asked for it last. */
  scratch(rows: number, widths: Record<string, number>): Promise<Scratch>
}

/** Arrays of at least so many rows, and whether they are still theirs who asked for them. */
export type Scratch = { arrays: Record<string, ResidentTensor>; isHeld: () => boolean }

/** The lane with other runs of its sessions: what `wrap` makes of them, to count or watch them, or to change what they are given and give. */
export const wrapRuns = (lane: Lane, wrap: (run: Session['run'], key: string) => Session['run']): Lane => ({
  ...lane,
  session: async (key, build) => {
    const session = await lane.session(key, build)
    return { ...session, run: wrap(session.run, key) }
  },
})

/** Lanes that jobs share: a job waits until a lane is free. */
export type Lanes = {
  readonly count: number
  readonly device: Device
  /**
   * Runs a job on a free lane, in the order of asking.
   * @param kind  of job. Of free lanes it gets the one whose last job was of its kind, or one that had none: what a lane opened for a kind is used again.
   */
  use<Result>(job: (lane: Lane) => Promise<Result>, kind?: string): Promise<Result>
  /** A job for each item, on as many lanes as are free. Results are in the order of the items; where one fails, all have ended. */
  each<Item, Result>(
    items: readonly Item[],
    job: (lane: Lane, item: Item, index: number) => Promise<Result>,
  ): Promise<Result[]>
  dispose(): Promise<void>
}

/**
 * Opens lanes and loads weights into each.
 * @param promptBytes  that prompts which were read may take, all lanes together
 * @param weights one tensor at a time, so that loading never holds a second copy of the model
 */
export async function openLanes(
  { count, promptBytes = PROMPT_BYTES, ...options }: { count: number; promptBytes?: number } & RuntimeOptions,
  weights: Iterable<[name: string, tensor: NamedTensors[string]]>,
): Promise<Lanes> {
  const runtimes = Array.from({ length: count }, () => openRuntime(options))
  const resident: Record<string, ResidentTensor>[] = runtimes.map(() => ({}))
  for (const [name, tensor] of weights)
    for (const [i, runtime] of runtimes.entries())
      Object.assign(resident[i], await runtime.upload({ [name]: tensor }, { move: i === count - 1 }))

  const madeBefore: MadeBefore = new Map()
  const free = runtimes.map((runtime, i) => openLane(runtime, resident[i], promptBytes / count, madeBefore))
  const waiting: ((lane: Lane) => void)[] = []
  const release = (lane: Lane) => {
    const next = waiting.shift()
    if (next) next(lane)
    else free.push(lane)
  }
  const lastKind = new Map<Lane, string>()
  const freeFor = (kind?: string) => {
    const chosen = kind
      ? (free.find((lane) => lastKind.get(lane) === kind) ?? free.find((lane) => !lastKind.has(lane)) ?? free[0])
      : free[0]
    if (chosen) free.splice(free.indexOf(chosen), 1)
    return chosen
  }
  const use: Lanes['use'] = async (job, kind) => {
    const lane = freeFor(kind) ?? (await new Promise<Lane>((resolve) => waiting.push(resolve)))
    if (kind) lastKind.set(lane, kind)
    try {
      return await job(lane)
    } finally {
      release(lane)
    }
  }
  return {
    count,
    device: options.device ?? 'cpu',
    use,
    each: (items, job) => allEnded(items.map((item, index) => use((lane) => job(lane, item, index)))),
    dispose: async () => void (await Promise.all(runtimes.map((runtime) => runtime.dispose()))),
  }
}

/** Adapters that a lane holds. */
const ADAPTERS = 2

/** What is known by a key, made when it is first asked for. */
function once<Value>(known: Map<string, Value>, key: string, make: () => Value): Value {
  const value = known.get(key) ?? make()
  known.set(key, value)
  return value
}

/** Scratch memory of a runtime, which is kept for who asks next, if it is large enough. */
function openScratch(runtime: Runtime): Lane['scratch'] {
  let arrays: Record<string, ResidentTensor> = {}
  let holder = {}
  return async (rows, widths) => {
    const mine = {}
    holder = mine
    const names = Object.keys(widths)
    const fits = names.every((name) => arrays[name]?.shape[0] >= rows && arrays[name].shape[1] === widths[name])
    if (!fits) {
      await runtime.release(Object.values(arrays))
      arrays = await runtime.allocate(Object.fromEntries(names.map((name) => [name, [rows, widths[name]]])))
    }
    return { arrays, isHeld: () => holder === mine }
  }
}

/** Read what a lane has made of the weights, by the names of what makes it. */
type MadeBefore = Map<string, () => Promise<NamedTensors>>

function openLane(
  runtime: Runtime,
  weights: Record<string, ResidentTensor>,
  promptBytes: number,
  madeBefore: MadeBefore,
): Lane {
  const sessions = new Map<string, Promise<Session>>()
  const shared = new Map<string, Promise<Record<string, ResidentTensor>>>() // by the names of what makes them
  const boundTo = ({ inputs }: Program, from = weights) =>
    Object.fromEntries(Object.entries(from).filter(([name]) => name in inputs))
  const results = ({ build }: Derivation) => {
    const program = build()
    return runtime.make(program, boundTo(program))
  }
  /** What another lane has made is copied from there. */
  const fromOthers = async (read: () => Promise<NamedTensors>) => runtime.upload(await read(), { move: true })
  const sharedBy = (derivation: Derivation) =>
    once(shared, derivation.name, () => {
      const read = madeBefore.get(derivation.name)
      if (read) return fromOthers(read)
      const made = results(derivation)
      madeBefore.set(derivation.name, async () => runtime.read(await made))
      return made
    })
  const openProgram = async (program: Program): Promise<Session> => {
    const { constants, shared: needed = [] } = program
    const given = await Promise.all(needed.map(sharedBy))
    if (!constants) return runtime.open(program, boundTo(program, Object.assign({}, weights, ...given)))
    const known = given[needed.indexOf(constants)] // undefined where nobody shares them
    const parts = known ?? (await results(constants))
    const session = await runtime.open(program, boundTo(program), parts)
    if (!known) await runtime.release(Object.values(parts))
    return session
  }
  const uploaded: { of: LoraAdapter; matrices: Promise<Record<string, ResidentTensor>> }[] = [] // the latest asked for last
  return {
    runtime,
    prompts: openPromptCache(runtime, promptBytes),
    scratch: openScratch(runtime),
    session: (key, build) => once(sessions, key, () => openProgram(build())),
    adapter(adapter) {
      const earlier = uploaded.findIndex(({ of }) => of.config === adapter.config)
      const [known] = earlier >= 0 ? uploaded.splice(earlier, 1) : []
      if (known?.of === adapter) {
        uploaded.push(known)
        return known.matrices
      }
      const gone = known ?? (uploaded.length < ADAPTERS ? undefined : uploaded.shift())
      const bring = async () => {
        if (gone) await runtime.release(Object.values(await gone.matrices))
        return runtime.upload(adapter.weights)
      }
      const matrices = bring()
      uploaded.push({ of: adapter, matrices })
      return matrices
    },
  }
}

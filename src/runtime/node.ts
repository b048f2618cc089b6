/** @file The runtime of Node: onnxruntime-node in a worker thread behind the contract of session.ts. */
import { Worker } from 'node:worker_threads'
import { graphCacheFolder } from './graph-folder.ts'
import type { NamedTensors } from './host-tensor.ts'
import type { Opening, Placement, Reply, RequestBody, Rows, RunReply, Value } from './messages.ts'
import {
  checkInputs,
  type Given,
  type Program,
  type ResidentRows,
  type ResidentTensor,
  type Runtime,
  type Session,
} from './session.ts'
import { grantedCores } from './threads.ts'

/** Default: the processor, with as many threads as this process may use. */
export type RuntimeOptions = Partial<Placement>

/**
 * Starts a worker thread that runs programs. Runs are carried out one after another in the order in which they were
 * asked for. `dispose` ends the worker and with it every session and resident tensor; it waits for
 * the runs that were asked for before.
 */
export function openRuntime({
  device = 'cpu',
  threads = grantedCores(),
  graphCache = graphCacheFolder(),
}: RuntimeOptions = {}): Runtime {
  const worker = startWorker()
  const waiting = new Map<number, { resolve: (result?: RunReply) => void; reject: (error: Error) => void }>()
  let lastId = 0
  let ended: Error | undefined

  const end = (error: Error) => {
    ended ??= error
    for (const { reject } of waiting.values()) reject(ended)
    waiting.clear()
  }
  worker.on('message', (reply: Reply) => {
    const asked = waiting.get(reply.id)
    waiting.delete(reply.id)
    if (waiting.size === 0 && !ended) worker.unref() // an idle worker does not keep the process alive
    if ('error' in reply) asked?.reject(new Error(reply.error))
    else asked?.resolve(reply.result)
  })
  worker.on('error', end)
  const exited = new Promise((resolve) => worker.on('exit', resolve))
  void exited.then((code) => end(new Error(`the runtime's thread ended (code ${code})`)))
  worker.unref()

  const ask = (body: RequestBody, transfer: ArrayBuffer[] = []) =>
    new Promise<RunReply | undefined>((resolve, reject) => {
      if (ended) return reject(ended)
      const id = ++lastId
      waiting.set(id, { resolve, reject })
      worker.ref()
      worker.postMessage({ id, ...body }, transfer)
    })

  const opening = (
    { name, bytes }: Program,
    bound: Record<string, ResidentTensor>,
    constants: Record<string, ResidentTensor>,
  ): Opening => ({
    ...{ name, bytes, device, threads, graphCache },
    ...{ bound: numbersOf(bound), constants: numbersOf(constants) },
  })
  const namesToKeep = (names: readonly string[]) => Object.fromEntries(names.map((name) => [name, ++lastId]))

  return {
    async upload(tensors: NamedTensors, { move = false } = {}) {
      const entries = Object.entries(tensors)
      const keptAs = namesToKeep(Object.keys(tensors))
      // A copy that is moved is copied once; what a message copies is written into it and read out of it again.
      const values = entries.map(([, tensor]) => (move ? tensor : { ...tensor, data: tensor.data.slice() }))
      await ask(
        { kind: 'upload', residents: Object.values(keptAs), tensors: values },
        values.map(({ data }) => data.buffer as ArrayBuffer),
      )
      return residentsOf(tensors, keptAs)
    },
    async allocate(shapes) {
      const keptAs = namesToKeep(Object.keys(shapes))
      await ask({ kind: 'allocate', residents: Object.values(keptAs), shapes: Object.values(shapes) })
      const types = Object.entries(shapes).map(([name, shape]) => [name, { dtype: 'float32', shape } as const])
      return residentsOf(Object.fromEntries(types), keptAs)
    },
    async release(tensors) {
      await ask({ kind: 'release', residents: [...tensors].map(({ resident }) => resident) })
    },
    async read(tensors) {
      const reply = await ask({ kind: 'read', residents: numbersOf(tensors) })
      return reply!.outputs
    },
    async make(program, bound) {
      checkInputs(program, bound)
      const keptAs = namesToKeep(program.outputs)
      const reply = await ask({ kind: 'make', keep: keptAs, ...opening(program, bound, {}) })
      return residentsOf(reply!.kept, keptAs)
    },
    async open(program, bound = {}, constants = {}): Promise<Session> {
      const session = ++lastId
      const isThere = (input: string) => input in bound || input in constants
      const [there, asked] = [true, false].map((side) => ({
        name: program.name,
        inputs: Object.fromEntries(Object.entries(program.inputs).filter(([input]) => isThere(input) === side)),
      }))
      checkInputs(there, { ...bound, ...constants })
      await ask({ kind: 'open', session, ...opening(program, bound, constants) })
      return {
        run: (inputs, keep = [], into = {}) => run(asked, session, inputs, { keep, into }),
        dispose: async () => void (await ask({ kind: 'close', session })),
      }
    },
    async dispose() {
      end(new Error('the runtime was disposed'))
      worker.ref()
      worker.postMessage({ id: ++lastId, kind: 'end' }) // `terminate` would abort the process if it struck within a run
      await exited
    },
  }

  /** @param asked  the inputs that are given at every run. There may be hundreds: no object of them is made, which is slow. */
  async function run(
    asked: Pick<Program, 'name' | 'inputs'>,
    session: number,
    inputs: Given,
    { keep, into }: { keep: readonly string[]; into: Record<string, ResidentRows> },
  ) {
    checkInputs(asked, inputs)
    const keptAs = namesToKeep(keep)
    const values = Object.keys(asked.inputs).map((name): [string, Value] => [name, toValue(inputs[name])])
    const places = Object.fromEntries(Object.entries(into).map(([name, rows]) => [name, placeOf(rows)]))
    const reply = await ask({ kind: 'run', session, inputs: values, keep: keptAs, into: places })
    const { outputs, kept } = reply!
    return { outputs, kept: residentsOf(kept, keptAs) }
  }
}

function toValue(given: Given[string]): Value {
  if (!('resident' in given)) return given
  return 'from' in given ? placeOf(given) : given.resident
}

const placeOf = ({ resident, from, shape }: ResidentRows): Rows => ({ of: resident, from, rows: shape[0] })

const residentsOf = (kept: RunReply['kept'], keptAs: Record<string, number>): Record<string, ResidentTensor> =>
  Object.fromEntries(
    Object.entries(kept).map(([name, { dtype, shape }]) => [name, { resident: keptAs[name], dtype, shape }]),
  )

const numbersOf = (tensors: Record<string, ResidentTensor>): Record<string, number> =>
  Object.fromEntries(Object.entries(tensors).map(([name, { resident }]) => [name, resident]))

/** From sources (tests, examples) the worker first registers the loader for TypeScript; a built package needs none. */
function startWorker(): Worker {
  if (!import.meta.url.endsWith('.ts')) return new Worker(new URL('./worker.js', import.meta.url))
  const module = JSON.stringify(new URL('./worker.ts', import.meta.url).href)
  return new Worker(`import('tsx/esm/api').then(({ register }) => (register(), import(${module})))`, { eval: true })
}

/**
 * @file The thread that owns the sessions. ONNX Runtime's run blocks the thread that calls it, so it is called here and
 * the main thread stays free for progress, signals and the event loop.
 */
import { type MessagePort, parentPort } from 'node:worker_threads'
import * as ort from 'onnxruntime-node'
import { openOptimised } from './graph-cache.ts'
import { type DType, float32, type HostTensor, type NamedTensors, sizeOf } from './host-tensor.ts'
import type { Opening, Reply, Request, Rows, RunReply, Value } from './messages.ts'
import { providersOf } from './providers.ts'

type OpenSession = { session: ort.InferenceSession; name: string; bound: Record<string, ort.Tensor> }

ort.env.logLevel = 'fatal' // errors are thrown; printing them as well would tell them twice

const port = parentPort as MessagePort
const sessions = new Map<number, OpenSession>()
const residents = new Map<number, ort.Tensor>()

port.on('message', (request: Request) => {
  handle(request).then(
    (result) => reply({ id: request.id, result }),
    (error: Error) => reply({ id: request.id, error: describe(request, error) }),
  )
})

function reply(message: Reply) {
  const outputs = 'result' in message && message.result ? Object.values(message.result.outputs) : []
  port.postMessage(message, [...new Set(outputs.map(({ data }) => data.buffer as ArrayBuffer))])
}

/** The runtime's message with the program's name before it: a node's number alone says little. */
function describe(request: Request, error: Error): string {
  const name =
    'bytes' in request ? request.name : request.kind === 'run' ? sessions.get(request.session)?.name : undefined
  return name ? `${name}: ${error.message}` : error.message
}

async function handle(request: Request): Promise<RunReply | undefined> {
  switch (request.kind) {
    case 'upload':
      for (const [i, id] of request.residents.entries()) residents.set(id, toRuntime(request.tensors[i]))
      return
    case 'allocate':
      for (const [i, id] of request.residents.entries()) residents.set(id, toRuntime(float32(request.shapes[i])))
      return
    case 'release':
      free(request.residents.flatMap((id) => residents.get(id) ?? []))
      for (const id of request.residents) residents.delete(id)
      return
    case 'read':
      return { outputs: copiesOf(request.residents), kept: {} }
    case 'open':
      sessions.set(request.session, await open(request))
      return
    case 'make': {
      const opened = await open(request)
      try {
        return await run(opened, [], request)
      } finally {
        await opened.session.release()
      }
    }
    case 'run': {
      const opened = sessions.get(request.session)
      if (!opened) throw new Error('the session is closed')
      return run(opened, request.inputs, request)
    }
    case 'close':
      await sessions.get(request.session)?.session.release()
      sessions.delete(request.session)
      return
    case 'end':
      process.exit() // of this thread
  }
}

async function open({ name, bytes, bound, constants, device, threads, graphCache }: Opening): Promise<OpenSession> {
  const options: ort.InferenceSession.SessionOptions = {
    executionProviders: providersOf(device),
    intraOpNumThreads: threads,
    // With the memory pattern on, every new combination of sizes adds a plan that is kept for ever.
    enableMemPattern: false,
    // A sampling step has thousands of short operations, and waking a thread takes as long as one. Threads that wait in a loop
    // for longer than that take the cores from other lanes and programs.
    extra: { session: { intra_op: { spin_duration_us: '50' } } },
    logSeverityLevel: 4,
    externalData: Object.entries(constants).map(([path, id]) => ({ path, data: bytesOf(residentOf(id)) })),
  }
  // Other devices compile what the file would hold, and weights that are part of a graph would be written with it.
  const isKept = device === 'cpu' && Object.keys(constants).length === 0
  const session = await openOptimised(bytes, options, isKept ? graphCache : undefined)
  return { session, name, bound: Object.fromEntries(Object.entries(bound).map(([name, id]) => [name, residentOf(id)])) }
}

async function run(
  { session, bound }: OpenSession,
  inputs: readonly [name: string, value: Value][],
  { keep, into = {} }: { keep: Record<string, number>; into?: Record<string, Rows> },
): Promise<RunReply> {
  const feeds = { ...bound }
  for (const [name, value] of inputs) feeds[name] = tensorOf(value)
  const fetches: Record<string, ort.Tensor | null> = {}
  for (const name of session.outputNames) fetches[name] = name in into ? tensorOf(into[name]) : null
  const reply: RunReply = { outputs: {}, kept: {} }
  const needless: ort.Tensor[] = []
  for (const [name, tensor] of Object.entries(await session.run(feeds, fetches))) {
    if (name in into) {
      needless.push(tensor) // it is where it was wanted, and the binding gives a copy besides
      continue
    }
    const keptAs = keep[name]
    if (keptAs === undefined) reply.outputs[name] = toHost(tensor)
    else {
      residents.set(keptAs, tensor)
      reply.kept[name] = { dtype: tensor.type as DType, shape: tensor.dims }
    }
  }
  free(needless)
  return reply
}

/** Lets go of memory at once, and not when the garbage is collected: the next run takes it again. */
function free(tensors: readonly ort.Tensor[]): void {
  const buffers = new Set(tensors.map(({ data }) => (data as Float32Array).buffer as ArrayBuffer))
  structuredClone(null, { transfer: [...buffers] })
}

const copiesOf = (ids: Record<string, number>): NamedTensors =>
  Object.fromEntries(
    Object.entries(ids).map(([name, id]) => {
      const tensor = toHost(residentOf(id))
      return [name, { ...tensor, data: tensor.data.slice() }]
    }),
  )

function tensorOf(value: Value): ort.Tensor {
  if (typeof value === 'number') return residentOf(value)
  return 'of' in value ? someRows(value) : toRuntime(value)
}

/** Rows of a resident tensor, where they are. */
function someRows({ of, from, rows }: Rows): ort.Tensor {
  const { type, dims, data } = residentOf(of)
  const shape = [rows, ...dims.slice(1)]
  const start = from * sizeOf(dims.slice(1))
  return toRuntime({ dtype: type as DType, shape, data: (data as Float32Array).subarray(start, start + sizeOf(shape)) })
}

function residentOf(id: number): ort.Tensor {
  const tensor = residents.get(id)
  if (!tensor) throw new Error('a resident tensor was used after its release')
  return tensor
}

function bytesOf({ data }: ort.Tensor): Uint8Array {
  const { buffer, byteOffset, byteLength } = data as Float32Array
  return new Uint8Array(buffer, byteOffset, byteLength)
}

const toRuntime = ({ dtype, data, shape }: HostTensor) =>
  new ort.Tensor(dtype as 'float32', data as Float32Array, shape)
const toHost = ({ type, data, dims }: ort.Tensor): HostTensor => ({
  dtype: type as DType,
  shape: dims,
  data: data as Float32Array,
})

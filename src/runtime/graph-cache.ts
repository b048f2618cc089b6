/**
 * @file Graphs that the runtime has optimised, on disk: opening one again skips what took most of the time. A file is named after
 * all that it depends on and begins with a hash of what follows, so that a damaged one is noticed and made anew. Nothing here
 * is fatal: where the folder cannot be used, a graph is optimised as if there were none.
 */
import { createHash, randomUUID } from 'node:crypto'
import { mkdirSync, readdirSync, readFileSync, rmSync, statSync, utimesSync } from 'node:fs'
import { arch, cpus } from 'node:os'
import { join } from 'node:path'
import * as ort from 'onnxruntime-node'
import { writeWhole } from '../files.ts'

type Options = ort.InferenceSession.SessionOptions

const MOST_BYTES = 128e6 // of all files; the graphs of one large model take about 3 MB
const LEAST_GRAPH_BYTES = 32e3 // a smaller graph is optimised in no time
const MOST_GRAPH_BYTES = 8e6 // a larger one has weights within
const HASH_BYTES = 32

/** Opens a graph on the processor, optimised now or before. Its results have the same bits either way. */
export async function openOptimised(
  graph: Uint8Array,
  options: Options,
  folder: string | undefined,
): Promise<ort.InferenceSession> {
  const { length } = graph
  if (folder === undefined || length < LEAST_GRAPH_BYTES || length > MOST_GRAPH_BYTES)
    return ort.InferenceSession.create(graph, options)
  const path = join(folder, `${nameOf(graph, options)}.onnx`)
  const known = read(path)
  if (known) {
    try {
      return await ort.InferenceSession.create(known, { ...options, graphOptimizationLevel: 'disabled' })
    } catch {
      rmSync(path, { force: true })
    }
  }
  return optimise(graph, options, { folder, path })
}

/** Optimises a graph and keeps the result, if that is possible. */
async function optimise(
  graph: Uint8Array,
  options: Options,
  { folder, path }: { folder: string; path: string },
): Promise<ort.InferenceSession> {
  const aside = join(folder, `${randomUUID()}.partial`)
  try {
    mkdirSync(folder, { recursive: true })
    const session = await ort.InferenceSession.create(graph, { ...options, optimizedModelFilePath: aside })
    keep(aside, path)
    prune(folder)
    return session
  } catch {
    return ort.InferenceSession.create(graph, options) // which says what is wrong, if it is the graph
  } finally {
    forget(aside)
  }
}

/** Of all that the optimised graph may depend on. */
const nameOf = (graph: Uint8Array, options: Options) =>
  createHash('sha256')
    .update(JSON.stringify([ort.env.versions.common, arch(), cpus()[0]?.model, processorFeatures(), options]))
    .update(graph)
    .digest('hex')

/** What the processor can do, where the system says it. */
function processorFeatures(): string | undefined {
  try {
    return /^(flags|Features)\s*:.*$/m.exec(readFileSync('/proc/cpuinfo', 'utf8'))?.[0]
  } catch {
    return undefined
  }
}

const hashOf = (bytes: Uint8Array) => createHash('sha256').update(bytes).digest()

/** A graph that is there and whole. */
function read(path: string): Uint8Array | undefined {
  try {
    const bytes = readFileSync(path)
    const graph = bytes.subarray(HASH_BYTES)
    if (!hashOf(graph).equals(bytes.subarray(0, HASH_BYTES))) return undefined
    const now = new Date()
    utimesSync(path, now, now) // the oldest files are removed first
    return graph
  } catch {
    return undefined
  }
}

function keep(aside: string, path: string): void {
  try {
    const graph = readFileSync(aside)
    writeWhole(path, [hashOf(graph), graph])
  } catch {
    // The session is open; the next one will optimise again.
  }
}

/** Removes the files that were used longest ago, as many as are too many. */
function prune(folder: string): void {
  try {
    const files = readdirSync(folder)
      .map((name) => join(folder, name))
      .map((path) => ({ path, stats: statSync(path, { throwIfNoEntry: false }) }))
      .flatMap(({ path, stats }) => (stats?.isFile() ? [{ path, bytes: stats.size, used: stats.mtimeMs }] : []))
      .sort((a, b) => b.used - a.used)
    let bytes = 0
    for (const file of files) {
      bytes += file.bytes
      if (bytes > MOST_BYTES) forget(file.path)
    }
  } catch {
    // Another process may be at it.
  }
}

function forget(path: string): void {
  try {
    rmSync(path, { force: true })
  } catch {
    // A file that cannot be removed does no harm.
  }
}

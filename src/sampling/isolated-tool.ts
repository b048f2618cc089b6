/** @file A tool from a file, in a thread of its own: code that never ends harms only its thread. */
import { resolve } from 'node:path'
import { pathToFileURL } from 'node:url'
import { Worker } from 'node:worker_threads'
import type { Tool } from './tools.ts'

/** What the thread runs: it answers texts one after another. */
const THREAD = `
const { parentPort, workerData: { url } } = require('node:worker_threads')
const load = async () => {
  const { default: respond } = await import(url)
  if (typeof respond !== 'function') throw new Error('its file has no function as default export')
  return respond
}
const loaded = load()
loaded.catch(() => {})
parentPort.on('message', async ({ id, text }) => {
  try {
    parentPort.postMessage({ id, answer: await (await loaded)(text) })
  } catch (error) {
    parentPort.postMessage({ id, error: String(error?.message ?? error) })
  }
})
`

type Reply = { id: number; answer?: string; error?: string }
type Asked = { resolve: (answer?: string) => void; reject: (error: Error) => void }
type Thread = { worker: Worker; waiting: Map<number, Asked>; ended: boolean }

/**
 * A tool whose `respond` is the default export of a file, JavaScript or whatever Node reads. A thread that takes longer than the
 * tool's time limit is ended. An idle thread does not keep the process alive; `stop` ends it.
 */
export function isolatedTool({ file, ...tool }: Omit<Tool, 'respond' | 'stop'> & { file: string }): Tool {
  let thread: Thread | undefined
  let lastId = 0
  return {
    ...tool,
    respond: (text) =>
      new Promise((resolve, reject) => {
        if (!thread || thread.ended) thread = startThread(file)
        const id = ++lastId
        thread.waiting.set(id, { resolve, reject })
        thread.worker.ref()
        thread.worker.postMessage({ id, text })
      }),
    stop: () => {
      void thread?.worker.terminate()
      thread = undefined // the next call must not meet a thread that is about to end
    },
  }
}

function startThread(file: string): Thread {
  const worker = new Worker(THREAD, { eval: true, workerData: { url: pathToFileURL(resolve(file)).href } })
  const waiting: Thread['waiting'] = new Map()
  const thread: Thread = { worker, waiting, ended: false }
  const fail = (error: Error) => {
    for (const { reject } of waiting.values()) reject(error)
    waiting.clear()
  }
  worker.on('message', ({ id, answer, error }: Reply) => {
    const asked = waiting.get(id)
    waiting.delete(id)
    if (waiting.size === 0) worker.unref()
    if (error === undefined) asked?.resolve(answer)
    else asked?.reject(new Error(error))
  })
  worker.on('error', fail)
  worker.on('exit', () => {
    thread.ended = true
    fail(new Error('its thread ended'))
  })
  return thread
}

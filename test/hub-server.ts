/** A hub on this machine: repositories in memory, the hub's paths and headers, and whatever can go wrong on the way. */
import { createHash } from 'node:crypto'
import { once } from 'node:events'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'

export type Repository = {
  /** Content by commit and name. */
  commits: Record<string, Record<string, Buffer>>
  /** Commits by branch. */
  branches: Record<string, string>
  /** Who may see that it exists. */
  token?: string
  /** Its list is public, its files are not: only this token may read them. */
  gatedFor?: string
}

/** What goes wrong with a file. */
export type Fault = {
  /** The connection ends after so many bytes of a body, so many times; Infinity: always. */
  cutAfter?: number
  cuts?: number
  /** What is sent instead of the file's content. */
  sends?: Buffer
  /** The size that the list tells. */
  lists?: number
  /** Answers with this status, so many times. */
  status?: number
  times?: number
  ignoresRanges?: true
}

export type Asked = { host: 'hub' | 'files'; method: string; path: string; token?: string; range?: string }

/** Large files are listed with SHA-256 and sent by another host, as on the real hub; small ones by the hub itself. */
const isLarge = (name: string) => /\.(safetensors|gguf|bin|onnx)$/.test(name)

/** What lies in folders is listed only where that is asked for. */
const isAsked =
  ({ searchParams }: URL) =>
  ([name]: [string, Buffer]) =>
    !name.includes('/') || searchParams.get('recursive') === 'true'

export async function startHub(repositories: Record<string, Repository>) {
  const faults: Record<string, Fault> = {}
  const asked: Asked[] = []

  const note = (host: Asked['host'], { method = '', url = '', headers }: IncomingMessage) =>
    asked.push({ host, method, path: url.split('?')[0], token: headers.authorization?.slice(7), range: headers.range })

  const files = createServer((request, response) => {
    note('files', request)
    const [, id, commit, name] = /^\/([^/]+\/[^/]+)\/([0-9a-f]{40})\/(.+)$/.exec(request.url!)!
    sendFile(request, response, repositories[id].commits[commit][name], faults[name])
  })
  const hub = createServer((request, response) => {
    note('hub', request)
    const url = new URL(request.url!, 'http://hub')
    const [, api, id, what, rest] =
      /^(\/api\/models)?\/([^/]+\/[^/]+)\/(revision|tree|resolve)\/(.+)$/.exec(decodeURIComponent(url.pathname)) ?? []
    const repository = repositories[id]
    const token = request.headers.authorization?.slice('Bearer '.length)
    const refuse = (status: number, cause: string, error = cause) =>
      response
        .writeHead(status, { 'x-error-code': cause, 'content-type': 'application/json' })
        .end(JSON.stringify({ error }))
    if (!repository || (repository.token && repository.token !== token))
      return refuse(token ? 404 : 401, 'RepoNotFound', 'Invalid username or password.')
    const [revision, name] = what === 'resolve' ? rest.split(/(?<=^[0-9a-f]{40})\/(.+)$/) : [rest, '']
    const commit = repository.commits[revision] ? revision : repository.branches[revision]
    if (!commit) return refuse(404, 'RevisionNotFound', `Invalid rev id: ${revision}`)
    const content = repository.commits[commit]
    if (api && what === 'revision') return sendJson(response, { _id: '1', id, sha: commit, lastModified: '2024-01-01' })
    if (api && what === 'tree') return sendPage(url, response, Object.entries(content).filter(isAsked(url)).map(listed))
    if (repository.gatedFor && repository.gatedFor !== token) return refuse(token ? 403 : 401, 'GatedRepo')
    if (!content[name]) return refuse(404, 'EntryNotFound')
    const fault = faults[name]
    if (fault?.status && fault.times !== 0) {
      fault.times = (fault.times ?? 1) - 1
      return response.writeHead(fault.status).end()
    }
    if (isLarge(name)) return response.writeHead(302, { location: `${urlOf(files)}/${id}/${commit}/${name}` }).end()
    sendFile(request, response, content[name], fault)
  })

  const listed = ([path, bytes]: [string, Buffer]) => {
    const size = faults[path]?.lists ?? bytes.length
    const oid = createHash('sha1').update(`blob ${bytes.length}\0`).update(bytes).digest('hex')
    const lfs = { oid: createHash('sha256').update(bytes).digest('hex'), size, pointerSize: 130 }
    return { type: 'file', path, size, oid, ...(isLarge(path) ? { lfs } : {}) }
  }
  /** Two entries a page, the next one named in a header. */
  const sendPage = (url: URL, response: ServerResponse, entries: object[]) => {
    const from = Number(url.searchParams.get('cursor') ?? 0)
    const next = `${urlOf(hub)}${url.pathname}?recursive=${url.searchParams.get('recursive')}&cursor=${from + 2}`
    if (from + 2 < entries.length) response.setHeader('link', `<${next}>; rel="next"`)
    sendJson(response, entries.slice(from, from + 2))
  }

  for (const server of [hub, files]) await once(server.listen(0, '127.0.0.1'), 'listening')
  return {
    url: urlOf(hub),
    faults,
    asked,
    close: async () => {
      for (const server of [hub, files]) {
        server.closeAllConnections()
        server.close()
      }
    },
  }
}

const urlOf = (server: ReturnType<typeof createServer>) => `http://127.0.0.1:${(server.address() as AddressInfo).port}`

const sendJson = (response: ServerResponse, value: unknown) =>
  response.writeHead(200, { 'content-type': 'application/json' }).end(JSON.stringify(value))

function sendFile({ headers }: IncomingMessage, response: ServerResponse, content: Buffer, fault: Fault = {}) {
  const bytes = fault.sends ?? content
  const from = fault.ignoresRanges ? 0 : Number(/^bytes=(\d+)-$/.exec(headers.range ?? '')?.[1] ?? 0)
  const body = bytes.subarray(from)
  response.writeHead(from > 0 ? 206 : 200, {
    'content-length': body.length,
    ...(from > 0 ? { 'content-range': `bytes ${from}-${bytes.length - 1}/${bytes.length}` } : {}),
  })
  if (fault.cutAfter === undefined || fault.cuts === 0) return response.end(body)
  fault.cuts = (fault.cuts ?? 1) - 1
  response.write(body.subarray(0, fault.cutAfter), () => setTimeout(() => response.destroy(), 20)) // what is on its way arrives, mostly
}

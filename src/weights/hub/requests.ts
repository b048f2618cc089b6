/** @file Asking the hub: who asks, and what its refusals mean to a user. The token goes to the hub and nowhere else. */
import { readFileSync } from 'node:fs'
import { homedir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { HUB_URL } from '@huggingface/hub'
import { UserError } from '../../errors.ts'
import type { HubModel } from './model-id.ts'

/** The hub's address, or that of a mirror in HF_ENDPOINT. */
export const hubEndpoint = () => (process.env.HF_ENDPOINT || HUB_URL).replace(/\/+$/, '')

/** Did the user forbid to ask the hub? */
export const isOffline = () => /^(1|true|yes|on)$/i.test(process.env.HF_HUB_OFFLINE ?? '')

/** What can be done without the hub. */
export const OFFLINE_WAYS =
  'give a model folder or a GGUF file, or a model that is cached (flowtune models list shows them)'

const RETRY_DELAY_SECONDS = 0.5 // doubled with every further try

/** The user's token: from the variables and the file that Hugging Face's own tools use. */
function accessToken(): string | undefined {
  const { HF_TOKEN, HUGGING_FACE_HUB_TOKEN, HF_TOKEN_PATH, HF_HOME, XDG_CACHE_HOME } = process.env
  const home = HF_HOME || join(XDG_CACHE_HOME || join(homedir(), '.cache'), 'huggingface')
  return HF_TOKEN?.trim() || HUGGING_FACE_HUB_TOKEN?.trim() || textOf(HF_TOKEN_PATH || join(home, 'token'))
}

function textOf(file: string): string | undefined {
  try {
    return readFileSync(file, 'utf8').trim() || undefined
  } catch {
    return undefined
  }
}

/**
 * `fetch` in the user's name. Following a redirect to another host, `fetch` itself leaves the token behind.
 * @param retries of a connection that fails or a server that is busy
 * @returns a function that throws UserError for whatever is no success
 */
export const hubFetch =
  (model: HubModel, { retries = 0 }: { retries?: number } = {}): typeof fetch =>
  async (input, init) => {
    const url = new URL(String(input))
    const headers = new Headers(init?.headers)
    const token = url.origin === new URL(hubEndpoint()).origin ? accessToken() : undefined
    if (token) headers.set('authorization', `Bearer ${token}`)
    for (let tries = 0; ; tries++) {
      const response = await fetch(url, { ...init, headers }).catch((error: Error) => unreachable(url, error))
      if (response instanceof Response && response.ok) return response
      const isPassing = response instanceof UserError || response.status === 429 || response.status >= 500
      if (isPassing && tries < retries && !init?.signal?.aborted) {
        if (response instanceof Response) await response.body?.cancel()
        await sleep(RETRY_DELAY_SECONDS * 1000 * 2 ** tries)
        continue
      }
      throw response instanceof UserError ? response : await refusal(response, url, model, token !== undefined)
    }
  }

function unreachable(url: URL, error: Error): UserError {
  const { code, message } = (error.cause ?? error) as NodeJS.ErrnoException
  return new UserError(
    { what: `the hub cannot be reached (${code ?? message})`, where: url.host, fix: OFFLINE_WAYS },
    1,
  )
}

/** What an answer that is no success means. The hub names the cause in a header; it calls private models missing. */
async function refusal(response: Response, asked: URL, { id, revision }: HubModel, hasToken: boolean) {
  const { status, headers } = response
  await response.body?.cancel()
  const host = new URL(response.url || asked).host
  if (host !== asked.host) return refusedBy(host, status)
  const cause = headers.get('x-error-code')
  const page = `${hubEndpoint()}/${id}`
  if (cause === 'GatedRepo' || (status === 403 && cause === null))
    return new UserError({
      what: `this model is gated${hasToken ? ', and your token has no access to it' : ''}`,
      where: id,
      fix: `accept its terms at ${page}, then set HF_TOKEN to a token of that account`,
    })
  if (cause === 'RevisionNotFound')
    return new UserError({
      what: `there is no revision "${revision}" of this model`,
      where: id,
      fix: `choose a branch, a tag or a commit of ${page}`,
    })
  if (cause === 'EntryNotFound')
    return new UserError({
      what: `there is no file ${asked.pathname.split('/').at(-1)}`,
      where: id,
      fix: `see ${page}`,
    })
  if (status === 401 || status === 403 || status === 404)
    return new UserError({
      what: `there is no such folder here, and ${host} shows no such model${hasToken ? ' to your token' : ''}`,
      where: id,
      fix: `check the name; for a private model set HF_TOKEN to a token that may read it`,
    })
  return refusedBy(host, status)
}

const refusedBy = (host: string, status: number) =>
  new UserError(
    { what: `the server answered with status ${status}`, where: host, fix: `try again later, or ${OFFLINE_WAYS}` },
    1,
  )

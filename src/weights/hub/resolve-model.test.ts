import { execFile } from 'node:child_process'
import { createHash, randomBytes } from 'node:crypto'
import {
  existsSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
} from 'node:fs'
import { hostname, tmpdir } from 'node:os'
import { basename, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest'
import { type Repository, startHub } from '../../../test/hub-server.ts'
import { hubIdOf } from './cache.ts'
import { type DownloadProgress, type ResolveOptions, resolveModel } from './resolve-model.ts'

const [first, second] = ['1'.repeat(40), '2'.repeat(40)]
const WEIGHTS = 300_000 // bytes: several pieces of a connection
const small = { 'config.json': Buffer.from('{"model_type":"llama"}'), 'tokenizer.json': Buffer.from('{}') }
const weights = randomBytes(WEIGHTS)
const single: Repository = {
  commits: {
    [first]: { ...small, 'model.safetensors': weights, 'README.md': Buffer.from('# A model'), 'model.bin': weights },
    [second]: { ...small, 'model.safetensors': randomBytes(10) },
  },
  branches: { main: first, 'refs/pr/1': second },
}
const only = (files: Record<string, Buffer>): Repository => ({ commits: { [first]: files }, branches: { main: first } })
const index = (...shards: string[]) =>
  Buffer.from(JSON.stringify({ weight_map: Object.fromEntries(shards.map((shard, i) => [`w${i}`, shard])) }))

let cache: string
let hub: Awaited<ReturnType<typeof startHub>>
beforeEach(async () => {
  cache = mkdtempSync(join(tmpdir(), 'hub-'))
  hub = await startHub({
    'owner/single': structuredClone(single),
    'owner/sharded': only({
      ...small,
      'model.safetensors.index.json': index('a.safetensors', 'b.safetensors', 'a.safetensors'),
      'a.safetensors': randomBytes(1000),
      'b.safetensors': randomBytes(2000),
      'consolidated.safetensors': randomBytes(3000),
    }),
    'owner/incomplete': only({ ...small, 'model.safetensors.index.json': index('absent.safetensors') }),
    'owner/escaping': only({ ...small, 'model.safetensors.index.json': index('../../secret.safetensors') }),
    'owner/pickle': only({ ...small, 'pytorch_model.bin': weights }),
    'owner/none': only({ 'README.md': Buffer.from('#') }),
    'owner/quantised': only({
      'm-Q4_0.gguf': randomBytes(40),
      'm-Q4_K_M.gguf': randomBytes(50),
      'm-f16-00001-of-00002.gguf': randomBytes(9),
      'mmproj-f16.gguf': randomBytes(7),
    }),
    'owner/one-gguf': only({ 'm.gguf': randomBytes(40) }),
    'owner/private': { ...only({ ...small, 'model.safetensors': weights }), token: 'secret' },
    'owner/gated': { ...only({ ...small, 'model.safetensors': weights }), gatedFor: 'accepted' },
  })
  vi.stubEnv('HF_ENDPOINT', hub.url)
  vi.stubEnv('HF_HUB_CACHE', cache)
  vi.stubEnv('HF_HOME', join(cache, 'home')) // no token of whoever runs the tests
  for (const name of ['HF_TOKEN', 'HUGGING_FACE_HUB_TOKEN', 'HF_HUB_OFFLINE', 'HF_TOKEN_PATH']) vi.stubEnv(name, '')
})
afterEach(async () => {
  vi.unstubAllEnvs()
  await hub.close()
  rmSync(cache, { recursive: true })
})

const folderOf = (name: string, commit = first) => join(cache, `models--owner--${name}`, 'snapshots', commit)
const blobs = (name: string) => join(cache, `models--owner--${name}`, 'blobs')
const sha256 = (bytes: Buffer) => createHash('sha256').update(bytes).digest('hex')
const filesAsked = () => hub.asked.filter(({ host }) => host === 'files')
const resolve = (spec: string, options: ResolveOptions = {}) => resolveModel(spec, options)

/** What a user is told. */
const refusal = (spec: string, options?: ResolveOptions) =>
  resolve(spec, options).then(
    (path) => expect.fail(`it became ${path}`),
    (error: Error) => error.message.replaceAll(hub.url, 'HUB').replace(/127\.0\.0\.1:\d+/g, 'HOST'),
  )

/** No file has a blob's name whose content is not what the name says. */
function expectNoBrokenBlob(name: string) {
  for (const file of existsSync(blobs(name)) ? readdirSync(blobs(name)) : [])
    if (file.length === 64) expect(sha256(readFileSync(join(blobs(name), file)))).toBe(file)
}

describe('a model of the hub', () => {
  test('comes into the cache that all tools share, with the files of a model and no others', async () => {
    const path = await resolve('owner/single')
    expect(path).toBe(folderOf('single'))
    expect(readdirSync(path).sort()).toEqual(['config.json', 'model.safetensors', 'tokenizer.json'])
    expect(readFileSync(join(path, 'model.safetensors'))).toEqual(weights)
    expect(lstatSync(join(path, 'model.safetensors')).isSymbolicLink()).toBe(process.platform !== 'win32')
    expect(readdirSync(blobs('single'))).toContain(sha256(weights))
    expect(readFileSync(join(cache, 'models--owner--single', 'refs', 'main'), 'utf8')).toBe(first)
    expect(hubIdOf(path)).toBe('owner/single')
  })

  test('is used from then on without asking, and offline', async () => {
    await resolve('owner/single')
    await hub.close()
    hub.asked.length = 0
    expect(await resolve('owner/single')).toBe(folderOf('single'))
    expect(await resolve(`owner/single@${first}`)).toBe(folderOf('single'))
    vi.stubEnv('HF_HUB_OFFLINE', '1')
    expect(await resolve('owner/single')).toBe(folderOf('single'))
    expect(hub.asked).toEqual([])
  })

  test('is brought up to date when that is asked for, and then only', async () => {
    const repositories = { 'owner/moving': structuredClone(single) }
    const other = await startHub(repositories)
    vi.stubEnv('HF_ENDPOINT', other.url)
    await resolve('owner/moving')
    repositories['owner/moving'].branches.main = second
    expect(await resolve('owner/moving')).toBe(folderOf('moving'))
    expect(await resolve('owner/moving', { update: true })).toBe(folderOf('moving', second))
    expect(await resolve('owner/moving')).toBe(folderOf('moving', second))
    await other.close()
  })

  test('may be a branch with a slash, or a commit, which is fetched without asking for its revision', async () => {
    expect(await resolve('owner/single@refs/pr/1')).toBe(folderOf('single', second))
    expect(await resolve('owner/single@refs/pr/1')).toBe(folderOf('single', second))
    hub.asked.length = 0
    expect(await resolve(`owner/single@${first}`)).toBe(folderOf('single'))
    expect(hub.asked.filter(({ path }) => path.includes('/revision/'))).toEqual([])
  })

  test('in shards has those that its index names', async () => {
    const path = await resolve('owner/sharded')
    expect(readdirSync(path).filter((name) => name.endsWith('.safetensors'))).toEqual([
      'a.safetensors',
      'b.safetensors',
    ])
  })

  test('is fetched again where a shard or a blob has gone', async () => {
    const path = await resolve('owner/sharded')
    rmSync(join(path, 'b.safetensors'))
    await resolve('owner/sharded')
    expect(existsSync(join(path, 'b.safetensors'))).toBe(true)
    for (const name of readdirSync(blobs('sharded'))) rmSync(join(blobs('sharded'), name))
    await resolve('owner/sharded')
    expect(readFileSync(join(path, 'b.safetensors'))).toHaveLength(2000)
  })

  test('shares the blobs of what did not change between two commits', async () => {
    await resolve('owner/single')
    hub.asked.length = 0
    await resolve('owner/single@refs/pr/1')
    expect(hub.asked.filter(({ path }) => path.endsWith('tokenizer.json'))).toEqual([])
  })

  test('is looked at before its weights are fetched', async () => {
    const seen: string[] = []
    const check = (folder: string) => {
      seen.push(...readdirSync(folder).sort())
      throw new Error('no such architecture')
    }
    await expect(resolve('owner/single', { check })).rejects.toThrow('no such architecture')
    expect(seen).toEqual(['config.json', 'tokenizer.json'])
    expect(filesAsked()).toEqual([])
  })

  test('can be looked at without its weights, which are not taken for cached then', async () => {
    expect(await resolve('owner/single', { weights: false })).toBe(folderOf('single'))
    expect(filesAsked()).toEqual([])
    await resolve('owner/single')
    expect(filesAsked()).toHaveLength(1)
  })
})

describe('a GGUF file', () => {
  test.each([
    ['owner/quantised:m-Q4_K_M.gguf', 'm-Q4_K_M.gguf'],
    ['owner/quantised:q4_k_m', 'm-Q4_K_M.gguf'],
    ['owner/quantised@main:Q4_0', 'm-Q4_0.gguf'],
    ['owner/one-gguf', 'm.gguf'],
  ])('is named by %s', async (spec, file) => {
    const path = await resolve(spec)
    expect(basename(path)).toBe(file)
    expect(readdirSync(join(path, '..'))).toEqual([file])
    await hub.close()
    expect(await resolve(spec)).toBe(path)
  })

  test('must be named where there are several, and told from others', async () => {
    expect(await refusal('owner/quantised')).toBe(
      'owner/quantised: this repository holds several GGUF files: m-Q4_0.gguf, m-Q4_K_M.gguf, m-f16-00001-of-00002.gguf; name one, as in owner/quantised:m-Q4_0.gguf',
    )
    expect(await refusal('owner/quantised:m-Q4_K_S.gguf')).toMatch(
      /^owner\/quantised: "m-Q4_K_S.gguf" is no GGUF file of this repository: .*; name one, as in owner\/quantised:m-Q4_K_M.gguf$/,
    )
    expect(await refusal('owner/quantised:f16')).toMatch(
      /^.*m-f16-00001-of-00002.gguf is one part of a split GGUF file/,
    )
    expect(await refusal('owner/single:Q4_0')).toBe(
      'owner/single: there is no GGUF file in this repository; leave out the part after the colon',
    )
  })
})

describe('what is no whole model is refused by name:', () => {
  test.each([
    ['owner/pickle', /^owner\/pickle: its weights are a pickle \(pytorch_model\.bin\).*save_pretrained\("DIR"\)/],
    ['owner/none', /^owner\/none: there are no weights in this repository: it holds README\.md/],
    ['owner/incomplete', /^owner\/incomplete: .*names shards that this repository does not have: absent\.safetensors/],
    ['owner/escaping', /model\.safetensors\.index\.json: weight_map\.w0: a shard must be a \.safetensors file beside/],
    ['owner/absent', /^owner\/absent: there is no such folder here, and HOST shows no such model; check the name/],
    ['owner/single@dev', /^owner\/single: there is no revision "dev" of this model; choose .* HUB\/owner\/single$/],
    [`owner/single@${'9'.repeat(40)}`, /^owner\/single: there is no revision "9{40}"/],
  ])('%s', async (spec, message) => {
    expect(await refusal(spec)).toMatch(message)
    expect(filesAsked()).toEqual([])
  })

  test.each(['../single', 'owner/..', '/owner/single', 'a/b/c', 'single', 'owner/single@../x', 'owner/single:../x'])(
    'what is no name of a model is no question to the hub: %s',
    async (spec) => {
      expect(await resolve(spec)).toBe(spec)
      expect(hub.asked).toEqual([])
    },
  )

  test('a path that exists is never looked for on the hub', async () => {
    const before = process.cwd()
    process.chdir(cache)
    mkdirSync('owner/single', { recursive: true })
    expect(await resolve('owner/single')).toBe('owner/single')
    process.chdir(before)
    expect(hub.asked).toEqual([])
  })
})

describe('a download', () => {
  test('goes on where the connection was cut', async () => {
    hub.faults['model.safetensors'] = { cutAfter: 100_000, cuts: 2 }
    const progress: DownloadProgress[] = []
    const path = await resolve('owner/single', { onProgress: (event) => progress.push(event) })
    expect(readFileSync(join(path, 'model.safetensors'))).toEqual(weights)
    const from = filesAsked().map(({ range }) => Number(range?.match(/^bytes=(\d+)-$/)?.[1] ?? 0))
    expect(from).toHaveLength(3)
    expect(from[0]).toBe(0)
    expect(from[1]).toBeGreaterThan(0)
    expect(from[2]).toBeGreaterThan(from[1])
    const received = progress.filter(({ file }) => file === 'model.safetensors').map(({ received }) => received)
    expect(received).toEqual(received.toSorted((a, b) => a - b))
    expect([received[0], received.at(-1)]).toEqual([0, WEIGHTS])
  })

  test('that was given up leaves its bytes to the next one', async () => {
    hub.faults['model.safetensors'] = { cutAfter: 200_000, cuts: 1 }
    const controller = new AbortController()
    const onProgress = ({ received, size }: DownloadProgress) =>
      size === WEIGHTS && received > 50_000 && controller.abort()
    await expect(resolve('owner/single', { onProgress, signal: controller.signal })).rejects.toThrow()
    const partials = readdirSync(blobs('single')).filter((name) => name.endsWith('.partial'))
    expect(partials).toHaveLength(1)
    const { size } = statSync(join(blobs('single'), partials[0]))
    expect(size).toBeGreaterThan(50_000)
    expect(existsSync(join(folderOf('single'), 'model.safetensors'))).toBe(false)
    const path = await resolve('owner/single')
    expect(readFileSync(join(path, 'model.safetensors'))).toEqual(weights)
    expect(filesAsked().at(-1)?.range).toBe(`bytes=${size}-`)
    expect(readdirSync(blobs('single')).filter((name) => name.endsWith('.partial'))).toEqual([])
  })

  test('goes on with what a process that was killed has left, and not with what one that runs is writing', async () => {
    mkdirSync(blobs('single'), { recursive: true })
    const left = (bytes: number, owner: string) =>
      writeFileSync(join(blobs('single'), `${sha256(weights)}.${owner}~x.partial`), weights.subarray(0, bytes))
    left(200_000, `${hostname()}~${process.pid}`)
    left(100_000, `${hostname()}~999999999`)
    await resolve('owner/single')
    expect(filesAsked().map(({ range }) => range)).toEqual(['bytes=100000-'])
    expectNoBrokenBlob('single')
  })

  test('begins again where the server sends no parts of files', async () => {
    hub.faults['model.safetensors'] = { cutAfter: 100_000, cuts: 1, ignoresRanges: true }
    const path = await resolve('owner/single')
    expect(readFileSync(join(path, 'model.safetensors'))).toEqual(weights)
  })

  test('that is cut again and again is given up, and says how far it came', async () => {
    hub.faults['model.safetensors'] = { cutAfter: 0, cuts: Number.POSITIVE_INFINITY }
    expect(await refusal('owner/single')).toMatch(
      /^HOST: the connection was cut again and again; 0 of the 300000 bytes of model\.safetensors are here; the same command goes on/,
    )
  })

  test.each([
    ['less than is listed', { sends: weights.subarray(0, 1000) }, /the server has 1000 bytes and the hub lists 300000/],
    ['more than is listed', { lists: 1000 }, /the server has 300000 bytes and the hub lists 1000/],
    ['other bytes', { sends: randomBytes(WEIGHTS) }, /its hash is [0-9a-f]{64} instead of [0-9a-f]{64}/],
  ])('of %s is refused, and nothing keeps its name', async (_, fault, message) => {
    hub.faults['model.safetensors'] = fault
    expect(await refusal('owner/single')).toMatch(message)
    expect(existsSync(join(folderOf('single'), 'model.safetensors'))).toBe(false)
    expectNoBrokenBlob('single')
    delete hub.faults['model.safetensors']
    await resolve('owner/single')
    expect(readFileSync(join(folderOf('single'), 'model.safetensors'))).toEqual(weights)
  })

  test('of small files is verified by their git hash', async () => {
    hub.faults['config.json'] = { sends: Buffer.from('{"model_type":"gpt_2"}') }
    expect(await refusal('owner/single')).toMatch(/config\.json did not arrive whole: its hash is [0-9a-f]{40} instead/)
  })

  test('of a damaged part that was left begins anew the next time', async () => {
    mkdirSync(blobs('single'), { recursive: true })
    writeFileSync(join(blobs('single'), `${sha256(weights)}.partial`), randomBytes(5000))
    expect(await refusal('owner/single')).toMatch(/model\.safetensors did not arrive whole: its hash/)
    await resolve('owner/single')
    expect(filesAsked().map(({ range }) => range)).toEqual(['bytes=5000-', undefined])
  })

  test('waits for a server that is busy', async () => {
    hub.faults['config.json'] = { status: 503, times: 1 }
    expect(await resolve('owner/single')).toBe(folderOf('single'))
  })

  test('that does not fit on the disk is refused before it begins', async () => {
    hub.faults['model.safetensors'] = { lists: 2 ** 52 }
    expect(await refusal('owner/single')).toMatch(/^.*: owner\/single takes 4504 TB, and .* are free; free some space/)
    expect(filesAsked()).toEqual([])
  })

  test('into a folder that cannot be made is refused', async () => {
    writeFileSync(join(cache, 'file'), '')
    vi.stubEnv('HF_HUB_CACHE', join(cache, 'file', 'cache'))
    expect(await refusal('owner/single')).toMatch(/ENOTDIR.*; check the path and its permissions$/)
  })

  test.skipIf(process.platform !== 'linux')(
    'onto a disk that becomes full says so, and goes on when there is room (skipped where there is no /dev/full)',
    async () => {
      mkdirSync(blobs('single'), { recursive: true })
      const partial = join(blobs('single'), `${sha256(weights)}.partial`)
      symlinkSync('/dev/full', partial)
      expect(await refusal('owner/single')).toMatch(/: the disk is full; free some space and go on$/)
      expect(existsSync(join(folderOf('single'), 'model.safetensors'))).toBe(false)
      rmSync(partial)
      await resolve('owner/single')
      expectNoBrokenBlob('single')
    },
  )

  test('of one model by several processes and by one process twice harms nobody', async () => {
    const script = `
      import { resolveModel } from ${JSON.stringify(new URL('./resolve-model.ts', import.meta.url).href)}
      console.log(await resolveModel('owner/single'))`
    const node = ['--import', 'tsx', '--input-type=module', '--eval', script]
    const cwd = fileURLToPath(new URL('../../..', import.meta.url))
    const others = Array.from({ length: 2 }, () => promisify(execFile)(process.execPath, node, { cwd }))
    const paths = await Promise.all([
      ...others.map(async (other) => (await other).stdout.trim()),
      resolve('owner/single'),
      resolve('owner/single'),
    ])
    expect(new Set(paths)).toEqual(new Set([folderOf('single')]))
    expect(readFileSync(join(folderOf('single'), 'model.safetensors'))).toEqual(weights)
    expectNoBrokenBlob('single')
    expect(readdirSync(blobs('single')).filter((name) => name.endsWith('.partial'))).toEqual([])
  })
})

describe('a token', () => {
  test('opens a private model, whose absence and privacy look alike without one', async () => {
    expect(await refusal('owner/private')).toMatch(/shows no such model; .* for a private model set HF_TOKEN/)
    vi.stubEnv('HF_TOKEN', 'wrong')
    expect(await refusal('owner/private')).toMatch(/shows no such model to your token; /)
    vi.stubEnv('HF_TOKEN', 'secret')
    expect(await resolve('owner/private')).toBe(folderOf('private'))
  })

  test('is sent to the hub and not to the host that it sends us to', async () => {
    vi.stubEnv('HF_TOKEN', 'secret')
    await resolve('owner/private')
    const tokens = (host: string) => new Set(hub.asked.filter((asked) => asked.host === host).map(({ token }) => token))
    expect(tokens('hub')).toEqual(new Set(['secret']))
    expect(tokens('files')).toEqual(new Set([undefined]))
  })

  test('may stand in the older variable, or in the file of the login command', async () => {
    vi.stubEnv('HUGGING_FACE_HUB_TOKEN', 'secret')
    expect(await resolve('owner/private', { weights: false })).toBe(folderOf('private'))
    vi.stubEnv('HUGGING_FACE_HUB_TOKEN', '')
    mkdirSync(join(cache, 'home'))
    writeFileSync(join(cache, 'home', 'token'), 'secret\n')
    await resolve('owner/private')
    expect(filesAsked()).toHaveLength(1)
  })

  test('of who has not accepted the terms of a gated model does not open it', async () => {
    const terms = 'accept its terms at HUB/owner/gated, then set HF_TOKEN to a token of that account'
    expect(await refusal('owner/gated')).toBe(`owner/gated: this model is gated; ${terms}`)
    vi.stubEnv('HF_TOKEN', 'other')
    expect(await refusal('owner/gated')).toBe(
      `owner/gated: this model is gated, and your token has no access to it; ${terms}`,
    )
    vi.stubEnv('HF_TOKEN', 'accepted')
    expect(await resolve('owner/gated')).toBe(folderOf('gated'))
  })
})

describe('without the hub', () => {
  const ways = 'give a model folder or a GGUF file, or a model that is cached (flowtune models list shows them)'

  test('the message says so and names what works without it', async () => {
    await hub.close()
    expect(await refusal('owner/single')).toBe(`HOST: the hub cannot be reached (ECONNREFUSED); ${ways}`)
  })

  test('and with HF_HUB_OFFLINE nothing is asked', async () => {
    vi.stubEnv('HF_HUB_OFFLINE', '1')
    expect(await refusal('owner/single@dev')).toBe(
      `owner/single@dev: this model is not in the cache, and HF_HUB_OFFLINE forbids to fetch it; ${ways}`,
    )
    expect(hub.asked).toEqual([])
  })

  test('a cached model without a tokenizer is used as it is', async () => {
    const path = await resolve('owner/single')
    rmSync(join(path, 'tokenizer.json'))
    await hub.close()
    expect(await resolve('owner/single')).toBe(path)
  })

  test('a model that is not whole in the cache is not taken for one', async () => {
    const path = await resolve('owner/sharded')
    rmSync(join(path, 'a.safetensors'))
    truncateSync(join(path, 'model.safetensors.index.json'), 10)
    await hub.close()
    expect(await refusal('owner/sharded')).toMatch(/^HOST: the hub cannot be reached/)
    expect(await refusal('owner/sharded', { update: true })).toMatch(/^HOST: the hub cannot be reached/)
  })

  test('an answer that is no JSON is told as such', async () => {
    vi.spyOn(globalThis, 'fetch').mockResolvedValueOnce(new Response('<html>Please log in</html>'))
    expect(await refusal('owner/single')).toMatch(/^HUB: this is not an answer of a hub: /)
    vi.restoreAllMocks()
  })
})

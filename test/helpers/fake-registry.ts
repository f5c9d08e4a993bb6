import { once } from 'node:events'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import { createServer as createTlsServer } from 'node:https'
import type { AddressInfo } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import type { RegistriesConf } from '../../src/registry/registries-conf.ts'
import type { Descriptor } from '../../src/spec/descriptor.ts'
import { digestOf } from '../../src/spec/digest.ts'
import { MEDIA_TYPES } from '../../src/spec/media-types.ts'
import type { FakeRegistry, FakeRegistryOptions, Fault, RecordedRequest } from './fake-registry-types.ts'
import { type Answer, createFakeUploads, json, type Stored } from './fake-uploads.ts'

export type { FakeRegistry, FakeRegistryOptions, Fault } from './fake-registry-types.ts'

/** Configuration under which all these registries may be talked to. */
export function confFor(...registries: readonly FakeRegistry[]): RegistriesConf {
  const entries = registries.map(({ conf }) => conf)
  return { registries: entries, unqualifiedSearchRegistries: [], shortNameMode: 'enforcing', aliases: {}, credentialHelpers: [] }
}

export async function startFakeRegistry(options: FakeRegistryOptions = {}): Promise<FakeRegistry> {
  const blobs = new Map<string, Stored>()
  const manifests = new Map<string, Stored>()
  const faults: { match: RegExp; fault: Fault; left: number }[] = []
  const tokens = new Map<string, string>()
  const requests: RecordedRequest[] = []
  const names = { registry: handleRegistry, token: handleToken, storage: handleStorage } as const
  const uploads = createFakeUploads({ blobs, manifests, options: options.uploads, url: () => `${scheme}://${host}` })
  const servers = await Promise.all(
    (Object.keys(names) as (keyof typeof names)[]).map(async (server) => {
      const listener = (request: IncomingMessage, response: ServerResponse) => void serve(server, request, response)
      const instance = options.certificate ? createTlsServer(options.certificate, listener) : createServer(listener)
      instance.on('tlsClientError', () => {})
      await once(instance.listen(0, '127.0.0.1'), 'listening')
      return instance
    }),
  )
  const scheme = options.certificate ? 'https' : 'http'
  const hosts = servers.map((server) => `127.0.0.1:${(server.address() as AddressInfo).port}`)
  const [host = '', tokenHost = '', storageHost = ''] = hosts

  async function serve(server: keyof typeof names, request: IncomingMessage, response: ServerResponse): Promise<void> {
    const path = request.url ?? '/'
    const record: RecordedRequest = { server, method: request.method ?? '', path, headers: request.headers, body: '', bodyLength: 0 }
    requests.push(record)
    const entry = faults.findLast(({ match, left }) => left > 0 && (match.test(path) || match.test(`${request.method} ${path}`)))
    if (entry) entry.left--
    const fault = entry?.fault ?? {}
    response.on('error', () => {})
    const bytes = fault.early ? Buffer.alloc(0) : await uploads.read(request, record, fault)
    if (request.destroyed && !request.complete) return
    if (fault.delayMs) await sleep(fault.delayMs)
    if (fault.answer) return fault.answer(request, response)
    if (fault.status !== undefined) return send(response, { status: fault.status, bytes: Buffer.alloc(0), headers: {} }, fault)
    send(response, names[server](request, record, bytes), fault)
  }

  function handleRegistry(request: IncomingMessage, _record: RecordedRequest, body: Buffer): Answer {
    const url = new URL(request.url ?? '/', `http://${host}`)
    const refused = authorize(request, url)
    if (refused) return refused
    if (url.pathname === '/v2/') return json(200, {})
    if (url.pathname === '/v1/search' && options.index) return searchIndex(options.index, url)
    if (url.pathname === '/v2/_catalog' && options.catalog !== false) return listCatalog(url)
    const pushed = uploads.answer(request, url, body)
    if (pushed) return pushed
    const [, repository = '', kind, selector = ''] = /^\/v2\/(.+)\/(manifests|blobs|tags|referrers)\/([^/]+)$/.exec(url.pathname) ?? []
    if (kind === 'manifests') return stored(manifests.get(`${repository}@${selector}`), 'MANIFEST_UNKNOWN', request)
    if (kind === 'tags') return listTags(repository, url)
    if (kind === 'referrers' && options.referrersApi !== false) return listReferrers(repository, selector)
    if (kind !== 'blobs') return json(404, { errors: [{ code: 'NAME_UNKNOWN', message: 'no such thing' }] })
    if (!options.redirectBlobs) return stored(blobs.get(options.uploads ? `${repository}@${selector}` : selector), 'BLOB_UNKNOWN', request)
    return { status: 307, bytes: Buffer.alloc(0), headers: { location: `${scheme}://${storageHost}/${selector}?signature=secret` } }
  }

  function handleStorage(request: IncomingMessage): Answer {
    if (request.headers.authorization) return json(400, { message: 'two ways to authenticate' })
    return stored(blobs.get((request.url ?? '').slice(1).replace(/\?.*/, '')), 'BLOB_UNKNOWN', request)
  }

  function handleToken(request: IncomingMessage, record: RecordedRequest): Answer {
    const query = request.method === 'POST' ? new URLSearchParams(record.body) : new URL(request.url ?? '/', 'http://x').searchParams
    const identity = query.get('refresh_token')
    const known = identity ? Object.values(options.users ?? {}).includes(identity) : isUser(request.headers.authorization)
    if (!known && !(options.anonymous && !request.headers.authorization && !identity)) {
      return json(401, { errors: [{ code: 'UNAUTHORIZED', message: 'who are you' }] })
    }
    const token = `token-${tokens.size + 1}-${Math.random().toString(36).slice(2)}`
    tokens.set(token, query.getAll('scope').join(' '))
    return json(200, { [identity ? 'access_token' : 'token']: token, expires_in: options.tokenLifetimeSeconds ?? 300 })
  }

  function authorize(request: IncomingMessage, url: URL): Answer | undefined {
    const { authorization } = request.headers
    if (options.auth === 'basic' && !isUser(authorization)) return challenge('Basic realm="fake"')
    if (options.auth !== 'bearer') return undefined
    const [, repository] = /^\/v2\/(.+)\/(?:manifests|blobs|tags|referrers)\//.exec(url.pathname) ?? []
    const action = { GET: 'pull', HEAD: 'pull', DELETE: 'delete' }[request.method ?? ''] ?? 'push'
    const scope = repository ? `repository:${repository}:${action}` : url.pathname === '/v2/_catalog' ? 'registry:catalog:*' : ''
    const granted = tokens.get(authorization?.replace('Bearer ', '') ?? '')
    if (granted?.split(' ').some((one) => grants(one, scope))) return undefined
    return challenge(`Bearer realm="${scheme}://${tokenHost}/token",service="fake, \\"quoted\\""${scope && `,scope="${scope}"`}`)
  }

  function isUser(authorization: string | undefined): boolean {
    const text = Buffer.from(authorization?.replace('Basic ', '') ?? '', 'base64').toString()
    const colon = text.indexOf(':')
    return colon > 0 && options.users?.[text.slice(0, colon)] === text.slice(colon + 1)
  }

  function stored(entry: Stored | undefined, code: string, request: IncomingMessage): Answer {
    if (!entry) return json(404, { errors: [{ code, message: 'unknown' }] })
    const { bytes, mediaType } = entry
    const headers = { 'content-type': mediaType, 'docker-content-digest': digestOf(bytes) }
    const from = Number(/^bytes=(\d+)-$/.exec(request.headers.range ?? '')?.[1] ?? Number.NaN)
    const method = request.method === 'HEAD' ? { head: true } : {}
    if (!options.ranges || Number.isNaN(from)) return { status: 200, bytes, headers, ...method }
    if (from >= bytes.length) return { status: 416, bytes: Buffer.alloc(0), headers: {} }
    return {
      status: 206,
      bytes: bytes.subarray(from),
      headers: { ...headers, 'content-range': `bytes ${from}-${bytes.length - 1}/${bytes.length}` },
    }
  }

  function listCatalog(url: URL): Answer {
    const all = [...new Set([...manifests.keys()].map((key) => key.slice(0, key.indexOf('@'))))].sort()
    const size = Math.min(Number(url.searchParams.get('n') ?? 100), options.pageSize ?? 100)
    const start = all.indexOf(url.searchParams.get('last') ?? '') + 1
    const page = all.slice(start, start + size)
    const link = `</v2/_catalog?n=${size}&last=${encodeURIComponent(page.at(-1) ?? '')}>; rel="next"`
    return json(200, { repositories: page }, start + size < all.length ? { link } : {})
  }

  function listTags(repository: string, url: URL): Answer {
    const all = [...manifests.keys()]
      .filter((key) => key.startsWith(`${repository}@`) && !key.includes('@sha'))
      .map((key) => key.slice(repository.length + 1))
    const size = Number(url.searchParams.get('n') ?? 100)
    const start = all.indexOf(url.searchParams.get('last') ?? '') + 1
    const page = all.slice(start, start + size)
    const more = start + size < all.length
    return json(
      200,
      { name: repository, tags: page },
      more ? { link: `</v2/${repository}/tags/list?n=${size}&last=${page.at(-1)}>; rel="next"` } : {},
    )
  }

  function listReferrers(repository: string, subject: string): Answer {
    const found = [...manifests].flatMap(([key, { bytes, mediaType }]) => {
      if (!key.startsWith(`${repository}@sha256:`)) return []
      const document = JSON.parse(bytes.toString()) as { subject?: Descriptor; artifactType?: string; config?: Descriptor }
      if (document.subject?.digest !== subject) return []
      return [{ mediaType, digest: digestOf(bytes), size: bytes.length, artifactType: document.artifactType ?? document.config?.mediaType }]
    })
    const answer = json(200, { schemaVersion: 2, mediaType: MEDIA_TYPES.ociIndex, manifests: found })
    return { ...answer, headers: { 'content-type': MEDIA_TYPES.ociIndex } }
  }

  const registry: FakeRegistry = {
    host,
    url: `${scheme}://${host}`,
    tokenUrl: `${scheme}://${tokenHost}`,
    storageUrl: `${scheme}://${storageHost}`,
    requests,
    conf: { prefix: host, location: host, insecure: true, blocked: false, mirrors: [] },
    addBlob(bytes, mediaType = 'application/octet-stream') {
      const digest = digestOf(bytes)
      blobs.set(digest, { bytes, mediaType: 'application/octet-stream' })
      return { mediaType, digest, size: bytes.length }
    },
    addManifest(repository, document, { mediaType = MEDIA_TYPES.ociManifest, tag, raw } = {}) {
      const bytes = raw ?? Buffer.from(JSON.stringify(document))
      for (const selector of [digestOf(bytes), digestOf(bytes, 'sha512'), ...(tag ? [tag] : [])])
        manifests.set(`${repository}@${selector}`, { bytes, mediaType })
      return { mediaType, digest: digestOf(bytes), size: bytes.length }
    },
    addImage(repository, { tag, layers = [], config = {}, manifest = {} } = {}) {
      const parts = layers.map((layer) => (Buffer.isBuffer(layer) ? { bytes: layer } : layer))
      const added = parts.map(({ bytes, mediaType = MEDIA_TYPES.ociLayer, urls }) => ({
        ...registry.addBlob(bytes, mediaType),
        ...(urls && { urls }),
      }))
      const diff_ids = parts.map(({ bytes, diffId }) => diffId ?? digestOf(bytes))
      const document = { os: 'linux', architecture: 'amd64', rootfs: { type: 'layers', diff_ids }, config: {}, ...config }
      const configDescriptor = registry.addBlob(Buffer.from(JSON.stringify(document)), MEDIA_TYPES.ociConfig)
      const body = { schemaVersion: 2, mediaType: MEDIA_TYPES.ociManifest, config: configDescriptor, layers: added, ...manifest }
      return { descriptor: registry.addManifest(repository, body, tag ? { tag } : {}), config: configDescriptor, layers: added }
    },
    addIndex(repository, entries, { tag } = {}) {
      const body = { schemaVersion: 2, mediaType: MEDIA_TYPES.ociIndex, manifests: entries }
      return registry.addManifest(repository, body, { mediaType: MEDIA_TYPES.ociIndex, ...(tag && { tag }) })
    },
    fault: (match, fault) => void faults.push({ match, fault, left: fault.times ?? Number.POSITIVE_INFINITY }),
    pushed: (repository, name) => (blobs.get(`${repository}@${name}`) ?? manifests.get(`${repository}@${name}`))?.bytes,
    openUploads: () => uploads.open(),
    revokeTokens: () => tokens.clear(),
    async close() {
      for (const server of servers) server.closeAllConnections()
      await Promise.all(servers.map((server) => new Promise((resolve) => server.close(resolve))))
    },
  }
  return registry
}

/** What Docker Hub answers: pages of a size that the client chooses. */
function searchIndex(index: readonly Readonly<Record<string, unknown>>[], url: URL): Answer {
  const found = index.filter(({ name, description }) => `${name} ${description}`.includes(url.searchParams.get('q') ?? ''))
  const size = Number(url.searchParams.get('n') ?? 25)
  const page = Number(url.searchParams.get('page') ?? 1)
  const results = found.slice((page - 1) * size, page * size)
  return json(200, { num_pages: Math.ceil(found.length / size), num_results: found.length, page, page_size: size, results })
}

/** `repository:x:pull,push` grants `repository:x:push`. */
function grants(granted: string, wanted: string): boolean {
  const end = wanted.lastIndexOf(':')
  return (
    granted.startsWith(wanted.slice(0, end + 1)) &&
    granted
      .slice(end + 1)
      .split(',')
      .includes(wanted.slice(end + 1))
  )
}

function challenge(text: string): Answer {
  return json(401, { errors: [{ code: 'UNAUTHORIZED', message: 'authentication required' }] }, { 'www-authenticate': text })
}

function send(response: ServerResponse, answer: Answer, fault: Fault): void {
  const bytes = fault.body === undefined ? Buffer.from(answer.bytes) : Buffer.from(fault.body)
  if (fault.corrupt) bytes[0] = (bytes[0] ?? 0) ^ 1
  const whole = fault.truncateAfter === undefined ? bytes : bytes.subarray(0, fault.truncateAfter)
  const length = fault.noLength || fault.endless ? {} : { 'content-length': String(whole.length) }
  response.writeHead(answer.status, { ...answer.headers, ...length, ...(fault.headers as Record<string, string>) })
  if (answer.head) return void response.end()
  if (fault.endless) return void flood(response)
  if (fault.stallAfter !== undefined) return void response.write(whole.subarray(0, fault.stallAfter))
  if (fault.cutAfter === undefined) return void response.end(whole)
  if (fault.cutAfter === 0) {
    response.flushHeaders()
    return void setTimeout(() => response.destroy(), 5)
  }
  response.write(whole.subarray(0, fault.cutAfter), () => setTimeout(() => response.destroy(), 5))
}

function flood(response: ServerResponse): void {
  const chunk = Buffer.alloc(64 * 1024, ' ')
  const more = () => {
    while (!response.destroyed && response.write(chunk));
  }
  response.on('drain', more)
  more()
}

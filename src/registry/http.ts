import { Readable } from 'node:stream'
import type { SecureContext } from 'node:tls'
import type { Dispatcher } from 'undici'
import { errorCode, errorMessage, isPodlibError, PodlibError } from '../errors/errors.ts'
import { proxyFor } from './proxy.ts'
import { readTlsFiles, secureContextFor } from './tls.ts'
import type { Environment } from './types.ts'

/** How long the network may take. @public */
export interface RegistryTimeouts {
  readonly connectMs: number
  /** Until the header of an answer is there. */
  readonly headersMs: number
  /** Between two pieces of a body. */
  readonly stallMs: number
}

export type HttpMethod = 'GET' | 'HEAD' | 'POST' | 'PUT' | 'PATCH' | 'DELETE'
export type HttpBody = string | Buffer | StreamedBody

/** A body that is streamed. It is opened anew for every request that it is sent with. */
export interface StreamedBody {
  /** Bytes, exactly. */
  readonly size: number
  open(): AsyncIterable<Buffer>
}

/** One HTTP exchange; no redirect is followed, no body decoded. */
export interface HttpRequest {
  readonly url: URL
  readonly method: HttpMethod
  readonly headers: Readonly<Record<string, string>>
  readonly body?: HttpBody
  /** Accept any certificate. */
  readonly insecure: boolean
  readonly signal?: AbortSignal | undefined
}

export interface HttpResponse {
  readonly status: number
  readonly headers: Readonly<Record<string, string | string[] | undefined>>
  readonly body: Dispatcher.ResponseData['body']
  readonly url: URL
}

/** Connections to any host, kept alive and shared by all requests with one identity. */
export interface Http {
  /** @throws ERR_REGISTRY_UNREACHABLE, ERR_REGISTRY_TLS */
  send(request: HttpRequest): Promise<HttpResponse>
  close(): Promise<void>
}

export interface HttpOptions {
  readonly userAgent: string
  readonly timeouts: RegistryTimeouts
  readonly certsDirectories: readonly string[]
  /** For the proxy variables. */
  readonly env: Environment
}

/** @throws ERR_INVALID_ARGUMENT for a user agent that could smuggle a header */
export function createHttp(options: HttpOptions): Http {
  if (!/^[\x20-\x7e]+$/.test(options.userAgent)) {
    throw new PodlibError('ERR_INVALID_ARGUMENT', 'the user agent must be printable ASCII on one line')
  }
  const dispatchers = new Map<string, Promise<Dispatcher>>()
  const contexts = new Map<string, Promise<SecureContext>>()
  let closed = false

  const context = (host: string) =>
    readTlsFiles(host, options.certsDirectories).then((files) =>
      once(contexts, files?.directory ?? '', () => secureContextFor(files, options.env)),
    )
  const dispatcherFor = ({ url, insecure }: HttpRequest) =>
    once(dispatchers, `${insecure} ${url.origin}`, () => connect({ url, insecure, context, ...options }))

  return {
    async send(request) {
      if (closed) throw new PodlibError('ERR_RUNTIME_CLOSED', 'the registry client is closed')
      request.signal?.throwIfAborted()
      const { url, method, signal } = request
      try {
        const dispatcher = await dispatcherFor(request)
        const { body, headers } = outgoing(request, options.timeouts)
        const answer = await dispatcher.request({
          origin: url.origin,
          path: url.pathname + url.search,
          method,
          headers: { 'accept-encoding': 'identity', 'user-agent': options.userAgent, ...request.headers, ...headers },
          ...body,
          ...(signal && { signal }),
        })
        // An abort after the last byte, or a body that nobody reads on, must not become an uncaught error.
        answer.body.on('error', () => {})
        return { status: answer.statusCode, headers: answer.headers, body: answer.body, url }
      } catch (error) {
        if (signal?.aborted) throw signal.reason
        throw connectionError(error, url)
      }
    },
    async close() {
      closed = true
      const open = [...dispatchers.values()]
      dispatchers.clear()
      await Promise.allSettled(open.map(async (dispatcher) => (await dispatcher).destroy()))
    },
  }
}

/** A registry that puts what it got into its own storage answers late. */
const UPLOAD_PATIENCE = 5

interface Outgoing {
  readonly headers: Readonly<Record<string, string>>
  readonly body: Partial<Pick<Dispatcher.RequestOptions, 'body' | 'headersTimeout'>>
}

function outgoing({ body }: HttpRequest, { headersMs }: RegistryTimeouts): Outgoing {
  if (body === undefined) return { headers: {}, body: {} }
  if (typeof body === 'string' || Buffer.isBuffer(body)) return { headers: {}, body: { body } }
  const stalled = () => upload.destroy(Object.assign(new Error(`nothing could be sent for ${headersMs} ms`), { code: 'ETIMEDOUT' }))
  const upload: Readable = Readable.from(watched(body.open(), { stalled, ms: headersMs }), { objectMode: false })
  // Whatever breaks it fails the request; after that it must not become an uncaught error.
  upload.on('error', () => {})
  const length = { 'content-length': String(body.size) }
  // undici closes it in any case: when all is sent, when the answer comes before that, and when the request fails.
  return { headers: length, body: { body: upload, headersTimeout: UPLOAD_PATIENCE * headersMs } }
}

/** Tells when the reader asks for no more for too long. */
async function* watched(chunks: AsyncIterable<Buffer>, { stalled, ms }: { stalled: () => void; ms: number }): AsyncGenerator<Buffer> {
  for await (const chunk of chunks) {
    const timer = setTimeout(stalled, ms)
    try {
      yield chunk
    } finally {
      clearTimeout(timer)
    }
  }
}

/** What stopped a connection, in podlib's words: bad certificates are told from an absent host. */
export function connectionError(error: unknown, url: URL): unknown {
  const code = errorCode(error)
  if (isPodlibError(error) || code === undefined) return error
  const details = { host: url.host, systemCode: code }
  const why = errorMessage(error) || code
  if (isTlsCode(code)) {
    const advice = `put its CA into a certs.d/${url.host} directory, or mark the registry insecure in registries.conf`
    return new PodlibError('ERR_REGISTRY_TLS', `no trusted TLS connection to ${url.host}: ${why}; ${advice}`, { details, cause: error })
  }
  return new PodlibError('ERR_REGISTRY_UNREACHABLE', `cannot talk to ${url.host}: ${why}; check the name, the network and the proxy`, {
    details,
    cause: error,
  })
}

function isTlsCode(code: string): boolean {
  return /^(?:ERR_TLS_|ERR_SSL_|CERT_|UNABLE_TO_|SELF_SIGNED_|DEPTH_ZERO_|HOSTNAME_MISMATCH|INVALID_CA|PATH_LENGTH_|EPROTO$|UND_ERR_PRX_TLS)/.test(
    code,
  )
}

interface Connection extends HttpOptions {
  readonly url: URL
  readonly insecure: boolean
  readonly context: (host: string) => Promise<SecureContext>
}

async function connect({ url, insecure, context, timeouts, env }: Connection): Promise<Dispatcher> {
  const { Agent, ProxyAgent } = await loadUndici()
  // docker.io is the name that certs.d uses for Docker Hub, whatever its address.
  const certsHost = url.host === 'registry-1.docker.io' ? 'docker.io' : url.host
  const tls = url.protocol === 'https:' ? { secureContext: await context(certsHost), rejectUnauthorized: !insecure } : {}
  const common = {
    connectTimeout: timeouts.connectMs,
    headersTimeout: timeouts.headersMs,
    bodyTimeout: timeouts.stallMs,
    // One TCP stream a download: HTTP/2 would put all layers behind one flow-control window.
    allowH2: false,
  }
  const proxy = proxyFor(url, env)
  if (proxy) return new ProxyAgent({ ...common, uri: proxy, requestTls: tls })
  return new Agent({ ...common, connect: { ...tls, timeout: timeouts.connectMs } })
}

const NODE_DISPATCHER = Symbol.for('undici.globalDispatcher.1')

/**
 * Loading undici replaces the dispatcher that Node's own `fetch` uses, also one that the app has set
 * (undici 8 publishes a bridge for older copies of itself). The app's is put back.
 */
async function loadUndici(): Promise<typeof import('undici')> {
  const world = globalThis as { [NODE_DISPATCHER]?: unknown }
  const before = world[NODE_DISPATCHER]
  const undici = await import('undici')
  if (world[NODE_DISPATCHER] !== before) world[NODE_DISPATCHER] = before
  return undici
}

function once<Value>(cache: Map<string, Promise<Value>>, key: string, make: () => Promise<Value>): Promise<Value> {
  const known = cache.get(key)
  if (known) return known
  const made = make()
  cache.set(key, made)
  made.catch(() => cache.delete(key))
  return made
}

import type { Readable } from 'node:stream'
import type { Client } from 'undici'
import { errorCode, errorMessage, isPodlibError, PodlibError } from '../errors/errors.ts'

/** The socket that is asked when the environment does not say. */
const DEFAULT_SOCKET = '/var/run/docker.sock'
const CONNECT_TIMEOUT_MS = 10_000
/** A daemon puts a big image together for long before it sends the first byte. */
const HEADERS_TIMEOUT_MS = 10 * 60_000
const MAX_ERROR_BYTES = 64 * 1024

export interface DaemonImageOptions {
  /** Name, or `sha256:` and an id. */
  readonly image: string
  /** `DOCKER_HOST`: only `unix://` is spoken to. */
  readonly dockerHost: string | undefined
  readonly signal?: AbortSignal | undefined
}

export type DaemonOptions = Omit<DaemonImageOptions, 'image'>

/** The path of the socket that `DOCKER_HOST` names. @throws ERR_TRANSPORT for anything else than a Unix socket */
function daemonSocket(dockerHost: string | undefined): string {
  if (!dockerHost) return DEFAULT_SOCKET
  if (dockerHost.startsWith('unix://') && dockerHost.length > 7) return dockerHost.slice(7)
  throw new PodlibError('ERR_TRANSPORT', 'DOCKER_HOST is no Unix socket; only Docker daemons of this machine can be reached', {
    details: { protocol: dockerHost.split(':', 1)[0] },
  })
}

/**
 * Gets an image from a Docker daemon, as the archive of `docker save`, and gives it to `consume` while it comes.
 *
 * @throws ERR_IMAGE_NOT_FOUND, ERR_DOCKER_DAEMON, ERR_TRANSPORT
 */
export async function withDaemonImage<Result>(
  options: DaemonImageOptions,
  consume: (archive: Readable) => Promise<Result>,
): Promise<Result> {
  const { image, signal } = options
  return withDaemon(options, async ({ client, socketPath }) => {
    const path = `/images/${encodeURIComponent(image)}/get`
    const { statusCode, body } = await client.request({ method: 'GET', path, ...(signal && { signal }) }).catch((error: unknown) => {
      signal?.throwIfAborted()
      throw unreachable(socketPath, error)
    })
    if (statusCode === 200) return await consume(body)
    const message = await daemonMessage(body)
    const code = statusCode === 404 ? 'ERR_IMAGE_NOT_FOUND' : 'ERR_DOCKER_DAEMON'
    throw new PodlibError(code, `the Docker daemon at ${socketPath} does not give image ${JSON.stringify(image)}: ${message}`, {
      details: { socketPath, image, status: statusCode },
    })
  })
}

/**
 * Loads the archive of `docker save` into a Docker daemon, while it is written.
 *
 * @throws ERR_DOCKER_DAEMON, ERR_TRANSPORT; what the archive fails with
 */
export async function loadIntoDaemon(options: DaemonOptions, archive: Readable): Promise<void> {
  const { signal } = options
  archive.on('error', () => {})
  await withDaemon(options, async ({ client, socketPath }) => {
    const headers = { 'content-type': 'application/x-tar' }
    const request = { method: 'POST', path: '/images/load?quiet=1', headers, body: archive, ...(signal && { signal }) } as const
    const { statusCode, body } = await client.request(request).catch((error: unknown) => {
      signal?.throwIfAborted()
      // What the archive fails with comes out here too.
      throw isPodlibError(error) ? error : unreachable(socketPath, error)
    })
    const answer = await readAnswer(body)
    // Having said 200, it can only tell of a failure in the answer itself.
    if (statusCode === 200 && !/"error(?:Detail)?"\s*:/.test(answer)) return
    throw new PodlibError('ERR_DOCKER_DAEMON', `the Docker daemon at ${socketPath} does not load the image: ${shownMessage(answer)}`, {
      details: { socketPath, status: statusCode },
    })
  })
}

interface Daemon {
  readonly client: Client
  readonly socketPath: string
}

async function withDaemon<Result>({ dockerHost }: DaemonOptions, use: (daemon: Daemon) => Promise<Result>): Promise<Result> {
  const socketPath = daemonSocket(dockerHost)
  const { Client: NewClient } = await import('undici')
  const client = new NewClient('http://docker', {
    socketPath,
    headersTimeout: HEADERS_TIMEOUT_MS,
    bodyTimeout: 0,
    connectTimeout: CONNECT_TIMEOUT_MS,
  })
  try {
    return await use({ client, socketPath })
  } finally {
    await client.destroy()
  }
}

async function daemonMessage(body: AsyncIterable<Buffer>): Promise<string> {
  return shownMessage(await readAnswer(body))
}

async function readAnswer(body: AsyncIterable<Buffer>): Promise<string> {
  let text = ''
  for await (const chunk of body) {
    text += chunk.toString('utf8')
    if (text.length > MAX_ERROR_BYTES) break
  }
  return text
}

function shownMessage(text: string): string {
  const shown = /"(?:message|error)"\s*:\s*"((?:[^"\\]|\\.){0,300})/.exec(text)?.[1] ?? text.slice(0, 300)
  return JSON.stringify(shown)
}

function unreachable(socketPath: string, error: unknown): PodlibError {
  const reason = errorCode(error) ?? errorMessage(error)
  return new PodlibError(
    'ERR_DOCKER_DAEMON',
    `cannot reach a Docker daemon at ${socketPath} (${reason}): set DOCKER_HOST if it listens elsewhere`,
    {
      details: { socketPath, systemCode: errorCode(error) },
      cause: error,
    },
  )
}

import { PodlibError } from '../errors/errors.ts'
import { connectionError, type HttpResponse } from './http.ts'

/** The one value of a header; of several, the first. */
export function header(response: Pick<HttpResponse, 'headers'>, name: string): string | undefined {
  const value = response.headers[name]
  return typeof value === 'string' ? value : value?.[0]
}

export interface ReadBodyOptions {
  readonly maxBytes: number
  /** What the body is, for the error message. */
  readonly what: string
  /** Cut at the limit instead of failing. */
  readonly truncate?: boolean
}

/**
 * Reads a small body into memory. The limit holds while reading: `Content-Length` is not believed.
 *
 * @throws ERR_REGISTRY_BODY_TOO_LARGE
 */
export async function readBody(response: HttpResponse, { maxBytes, what, truncate }: ReadBodyOptions): Promise<Buffer> {
  const chunks: Buffer[] = []
  let size = 0
  try {
    for await (const chunk of response.body as AsyncIterable<Buffer>) {
      size += chunk.length
      if (size > maxBytes) {
        if (truncate) break
        throw new PodlibError('ERR_REGISTRY_BODY_TOO_LARGE', `${response.url.host} sent a ${what} of more than ${maxBytes} bytes`, {
          details: { host: response.url.host, maxBytes },
        })
      }
      chunks.push(chunk)
    }
  } catch (error) {
    throw connectionError(error, response.url)
  } finally {
    response.body.destroy()
  }
  return Buffer.concat(chunks)
}

/** Reads away a body that nobody needs, so that its connection can be used again; gives up on a long one. */
export async function drain(response: HttpResponse): Promise<void> {
  await response.body.dump({ limit: 64 * 1024, signal: AbortSignal.timeout(2000) }).catch(() => {})
}

/**
 * Digests are over the bytes as stored, and decoding is a way to exhaust memory (CVE-2026-22036), so no
 * answer may be encoded.
 *
 * @throws ERR_REGISTRY_PROTOCOL
 */
export function refuseEncoding(response: HttpResponse, what: string): void {
  const encoding = header(response, 'content-encoding')
  if (encoding === undefined || encoding.toLowerCase() === 'identity') return
  response.body.destroy()
  throw new PodlibError(
    'ERR_REGISTRY_PROTOCOL',
    `${response.url.host} sent the ${what} with Content-Encoding ${JSON.stringify(encoding.slice(0, 40))}, although none was accepted`,
    { details: { host: response.url.host } },
  )
}

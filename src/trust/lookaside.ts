import { fileURLToPath } from 'node:url'
import { errorCode, PodlibError } from '../errors/errors.ts'
import { type Digest, digestAlgorithm, digestHex } from '../spec/digest.ts'
import type { Reference } from '../spec/reference.ts'
import { type FetchLimits, TRUST_LIMITS } from './limits.ts'
import { readSmallFile } from './material.ts'

/** Fetches an http or https URL; undefined when the server says it does not exist (404). @public */
export type FetchUrl = (url: string, limits: FetchLimits) => Promise<Uint8Array | undefined>

/** Where signatures of root's and of a user's images are kept when registries.d names no place. @public */
export function defaultLookaside(home: string | undefined): string {
  const directory = home === undefined ? '/var/lib/containers/sigstore' : `${home}/.local/share/containers/sigstore`
  return `file://${encodeURI(directory)}`
}

/**
 * The address of a signature: `<base>/<repository>@<algorithm>=<hex>/signature-<number>`, numbers from 1. The
 * registry is no part of it: one server can serve mirrors of one repository.
 *
 * @see man 5 containers-registries.d, "Individual configuration sections"
 * @public
 */
export function lookasideUrl(base: string, request: { reference: Reference; digest: Digest; number: number }): string {
  const { reference, digest, number } = request
  const url = parseBase(base)
  const directory = url.pathname.replace(/\/+$/, '')
  url.pathname = `${directory}/${reference.repository}@${digestAlgorithm(digest)}=${digestHex(digest)}/signature-${number}`
  return url.href
}

/**
 * The signatures that a lookaside has for a manifest: `signature-1`, `signature-2` ... until one does not exist. One
 * more than evidence may have is fetched, so that too many are seen as such.
 *
 * @throws ERR_CONFIG_INVALID for a base that is no file, http or https URL; what `fetchUrl` rejects with
 * @public
 */
export async function* readLookaside(
  request: { base: string; reference: Reference; digest: Digest; fetchUrl: FetchUrl },
  limits: FetchLimits,
): AsyncGenerator<Uint8Array> {
  for (let number = 1; number <= TRUST_LIMITS.signatures + 1; number++) {
    limits.signal?.throwIfAborted()
    const url = lookasideUrl(request.base, { reference: request.reference, digest: request.digest, number })
    const bytes = url.startsWith('file:') ? await readFileUrl(url, limits) : await request.fetchUrl(url, limits)
    if (bytes === undefined) return
    yield bytes
  }
}

async function readFileUrl(url: string, limits: FetchLimits): Promise<Uint8Array | undefined> {
  try {
    return await readSmallFile(fileURLToPath(url), limits.maxBytes, limits.signal)
  } catch (error) {
    if (errorCode(error) === 'ENOENT' || errorCode(error) === 'ENOTDIR') return undefined
    throw error
  }
}

function parseBase(base: string): URL {
  const url = URL.canParse(base) ? new URL(base) : undefined
  const usable = url && ['file:', 'http:', 'https:'].includes(url.protocol) && url.search === '' && url.hash === ''
  if (!usable || (url.protocol === 'file:' && url.hostname !== '')) {
    throw new PodlibError('ERR_CONFIG_INVALID', `the lookaside ${JSON.stringify(base)} of registries.d is not a file, http or https URL`, {
      details: { lookaside: base },
    })
  }
  return url
}

import { createHash } from 'node:crypto'
import { PodlibError } from '../errors/errors.ts'

/**
 * A content digest, `algorithm:hex`. Only sha256 and sha512 exist here: both are lower-case hex of the
 * full length, which makes a checked digest safe inside a path or URL.
 *
 * @see https://github.com/opencontainers/image-spec/blob/v1.1.1/descriptor.md#digests
 * @public
 */
export type Digest = `sha256:${string}` | `sha512:${string}`

const HEX_LENGTH = { sha256: 64, sha512: 128 } as const
type Algorithm = keyof typeof HEX_LENGTH

/** Whether a string is a digest that podlib accepts. */
export function isDigest(value: unknown): value is Digest {
  if (typeof value !== 'string') return false
  const colon = value.indexOf(':')
  const length = HEX_LENGTH[value.slice(0, colon) as Algorithm]
  return colon > 0 && length === value.length - colon - 1 && /^[0-9a-f]+$/.test(value.slice(colon + 1))
}

/** Checks a digest from outside. @throws ERR_INVALID_DIGEST */
export function parseDigest(value: unknown): Digest {
  if (isDigest(value)) return value
  const shown = JSON.stringify(value)?.slice(0, 100)
  throw new PodlibError('ERR_INVALID_DIGEST', `not a sha256 or sha512 digest: ${shown}`, { details: { value: shown } })
}

export function digestAlgorithm(digest: Digest): 'sha256' | 'sha512' {
  return digest.startsWith('sha256:') ? 'sha256' : 'sha512'
}

export function digestHex(digest: Digest): string {
  return digest.slice(digest.indexOf(':') + 1)
}

/** The digest of bytes in memory. */
export function digestOf(bytes: Uint8Array | string, algorithm: 'sha256' | 'sha512' = 'sha256'): Digest {
  return `${algorithm}:${createHash(algorithm).update(bytes).digest('hex')}`
}

/** @throws ERR_DIGEST_MISMATCH with what was expected, what was found and of what. */
export function assertDigest(expected: Digest, bytes: Uint8Array, what: string): void {
  const actual = digestOf(bytes, digestAlgorithm(expected))
  if (actual !== expected) throw digestMismatch(expected, actual, what)
}

export function digestMismatch(expected: Digest, actual: string, what: string): PodlibError {
  return new PodlibError('ERR_DIGEST_MISMATCH', `${what} has digest ${actual}, expected ${expected}`, {
    details: { expected, actual, what },
  })
}

/**
 * The chain ID of a stack of layers, bottom first.
 *
 * @see https://github.com/opencontainers/image-spec/blob/v1.1.1/config.md#layer-chainid
 */
export function chainId(diffIds: readonly Digest[]): Digest {
  const [bottom, ...rest] = diffIds
  if (bottom === undefined) throw new PodlibError('ERR_INTERNAL', 'a chain ID needs at least one diff ID')
  return rest.reduce<Digest>((chain, diffId) => digestOf(`${chain} ${diffId}`), bottom)
}

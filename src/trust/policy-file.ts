import { join } from 'node:path'
import { errorCode, errorMessage, PodlibError } from '../errors/errors.ts'
import { readSmallFile } from './material.ts'
import type { Policy } from './policy.ts'
import { parsePolicy } from './policy-parse.ts'

const MAX_POLICY_BYTES = 16 << 20

/**
 * Reads the policy from `path`, or from the first of `<home>/.config/containers/policy.json` and
 * `/etc/containers/policy.json` that exists. No file is an error, never consent.
 *
 * @throws ERR_POLICY_MISSING, ERR_POLICY_INVALID
 * @public
 */
export async function loadPolicy(options: { path?: string; home?: string; signal?: AbortSignal } = {}): Promise<Policy> {
  const candidates = options.path === undefined ? defaultPaths(options.home) : [options.path]
  for (const path of candidates) {
    const bytes = await readPolicyFile(path, options.signal)
    if (bytes !== undefined) return parsePolicy(bytes, path)
  }
  throw new PodlibError(
    'ERR_POLICY_MISSING',
    `no signature policy at ${candidates.join(' or ')}; install containers-common, write a policy.json (man 5 containers-policy.json), ` +
      'or pass insecureAcceptAnything() to accept images without signatures',
    { details: { paths: candidates } },
  )
}

function defaultPaths(home: string | undefined): readonly string[] {
  const system = '/etc/containers/policy.json'
  return home === undefined ? [system] : [join(home, '.config/containers/policy.json'), system]
}

// Only "does not exist" leads to the next candidate: a policy that cannot be read must not be skipped.
async function readPolicyFile(path: string, signal: AbortSignal | undefined): Promise<Buffer | undefined> {
  try {
    return await readSmallFile(path, MAX_POLICY_BYTES, signal)
  } catch (error) {
    if (errorCode(error) === 'ENOENT' || errorCode(error) === 'ENOTDIR') return undefined
    signal?.throwIfAborted()
    throw new PodlibError('ERR_POLICY_INVALID', `cannot read the signature policy ${path}: ${errorMessage(error)}`, {
      details: { path },
      cause: error,
    })
  }
}

import { chmodSync, mkdirSync, statSync } from 'node:fs'
import { dirname } from 'node:path'
import { PodlibError } from '../../errors/errors.ts'

const SEARCH_BY_OTHERS = 0o001

/**
 * Lets the root of other user namespaces pass through two directories, one in the other, without looking around: each thing
 * in them is closed in its own right.
 *
 * @throws ERR_ID_MAPPING_UNSUPPORTED when a directory on the way there, which is not podlib's to change, lets nobody pass
 */
export function makeSearchable(outer: string, inner: string, uid: number): void {
  for (let directory = dirname(outer); ; directory = dirname(directory)) {
    if ((statSync(directory).mode & SEARCH_BY_OTHERS) === 0) throw closed(directory, uid)
    if (directory === dirname(directory)) break
  }
  for (const directory of [outer, inner]) {
    mkdirSync(directory, { recursive: true, mode: 0o700 })
    chmodSync(directory, 0o711)
  }
}

function closed(path: string, uid: number): PodlibError {
  const text = `root of the container is user ${uid} of the host and cannot pass through ${path}: choose a run root that others can reach, such as one in /run, or allow it with chmod o+x`
  return new PodlibError('ERR_ID_MAPPING_UNSUPPORTED', text, { details: { path, uid } })
}

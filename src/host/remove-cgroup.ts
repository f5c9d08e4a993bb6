import { readdirSync, rmdirSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { errorCode } from '../errors/errors.ts'
import type { CgroupLayout } from './cgroup.ts'

/** Processes that were killed leave their cgroup a moment later. */
const RETRY_MS = 5
const GIVE_UP_MS = 2_000

/**
 * Removes what an OCI runtime that was killed half-way left of a container's cgroup: it makes one in every
 * hierarchy, and only then the state by which its `delete` would find them. A cgroup with a living process stays.
 *
 * @param path as the runtime was told it (`/podlib/podlib-<id>`)
 */
export async function removeCgroup({ controllers, unified }: CgroupLayout, path: string): Promise<void> {
  const mounts = new Set([...Object.values(controllers), ...(unified === undefined ? [] : [unified])])
  const deadline = Date.now() + GIVE_UP_MS
  for (const mount of mounts) {
    while (!removeTree(join(mount, path)) && Date.now() < deadline) await delay(RETRY_MS)
  }
}

/** Whether it is gone, or not ours to remove. */
function removeTree(directory: string): boolean {
  try {
    rmdirSync(directory)
    return true
  } catch (error) {
    if (errorCode(error) !== 'EBUSY') return true
  }
  try {
    const below = readdirSync(directory, { withFileTypes: true }).filter((entry) => entry.isDirectory())
    return below.map(({ name }) => removeTree(join(directory, name))).every(Boolean) && below.length > 0 && removeTree(directory)
  } catch {
    // Somebody else has removed it between the two looks.
    return true
  }
}

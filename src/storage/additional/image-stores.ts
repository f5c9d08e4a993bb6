import { statSync } from 'node:fs'
import { join } from 'node:path'
import { errorCode, PodlibError } from '../../errors/errors.ts'
import { type ContainersStore, openContainersStore } from './containers-store.ts'

/** Stores of containers/storage beside podlib's own. */
export interface ImageStores {
  /** The one that podman uses when nobody says anything else. */
  readonly defaultRoot: string
  /** Those whose images are used where they are, the first one first. */
  readonly additional: readonly ContainersStore[]
  /** Any other, to copy images out of it. */
  open(root: string): ContainersStore
}

export interface ImageStoresOptions {
  readonly additional: readonly string[]
  readonly user: { readonly uid: number }
  readonly home: string
  readonly env: Readonly<Record<string, string>>
}

/** Nothing is read before somebody asks for an image. @throws ERR_STORE_UNREADABLE, ERR_PERMISSION for a store that is not there or cannot be entered */
export function createImageStores({ additional, user: { uid }, home, env }: ImageStoresOptions): ImageStores {
  for (const root of additional) assertDirectory(root)
  return {
    defaultRoot: uid === 0 ? '/var/lib/containers/storage' : join(env.XDG_DATA_HOME || join(home, '.local/share'), 'containers/storage'),
    additional: additional.map((root) => openContainersStore(root, uid)),
    open: (root) => openContainersStore(root, uid),
  }
}

function assertDirectory(root: string): void {
  try {
    if (statSync(root).isDirectory()) return
  } catch (error) {
    throw missing(root, errorCode(error))
  }
  throw missing(root, 'ENOTDIR')
}

function missing(root: string, code: string | undefined): PodlibError {
  const kind = code === 'EACCES' ? 'ERR_PERMISSION' : 'ERR_STORE_UNREADABLE'
  return new PodlibError(kind, `cannot open the additional image store ${root}: ${code}`, {
    details: { root, systemCode: code },
  })
}

import type { Identity } from '../bundle/host-facts.ts'
import { resolveUser, USER_FILE_MAX_BYTES } from '../bundle/users.ts'
import type { Context, UserFiles } from '../lifecycle/context.ts'
import type { LayerReference } from '../storage/storage-driver.ts'

const MAX_REMEMBERED = 64
const MAX_REMEMBERED_BYTES = 64 * 1024

interface WantedUser {
  readonly user: string
  readonly groups: readonly string[]
}

/** Who a process in a container runs as, by the files of its root file system. @throws ERR_USER_NOT_FOUND */
export async function identify(context: Context, { user, groups }: WantedUser, rootfs: string): Promise<Identity> {
  return resolveUser({ user, groups, ...(await readUserFiles(context, rootfs)) })
}

interface FreshRootfs {
  readonly path: string
  /** All that is in it: nobody has written to it yet. */
  readonly layers: readonly LayerReference[]
  readonly mounted: Promise<unknown>
}

/** The same for a root file system that is as its image made it, which was perhaps read before. */
export async function identifyFresh(
  context: Context,
  { user, groups }: WantedUser,
  { path, layers, mounted }: FreshRootfs,
): Promise<Identity> {
  const key = layers.join()
  const known = context.userFiles.get(key)
  if (known) return resolveUser({ user, groups, ...known })
  await mounted
  const files = await readUserFiles(context, path)
  if (sizeOf(files) <= MAX_REMEMBERED_BYTES) remember(context.userFiles, key, files)
  return resolveUser({ user, groups, ...files })
}

function remember(known: Map<string, UserFiles>, key: string, files: UserFiles): void {
  const [oldest] = known.keys()
  if (known.size >= MAX_REMEMBERED && oldest !== undefined) known.delete(oldest)
  known.set(key, files)
}

function sizeOf({ passwd, group }: UserFiles): number {
  return (passwd?.length ?? 0) + (group?.length ?? 0)
}

async function readUserFiles(context: Context, root: string): Promise<UserFiles> {
  const host = await context.host()
  const paths = ['/etc/passwd', '/etc/group']
  const [passwd, group] = await host.run('read-in-root', { root, paths, maxBytes: USER_FILE_MAX_BYTES })
  return { passwd: passwd ?? null, group: group ?? null }
}

import { closeSync } from 'node:fs'
import { address, check, cstr, systemCall } from './libc.ts'

/** System calls above 424 have one number on every architecture. */
const SYS = { open_tree: 428, move_mount: 429, mount_setattr: 442 } as const

const AT_FDCWD = BigInt.asUintN(64, -100n)
const AT_EMPTY_PATH = 0x1000n
const OPEN_TREE_CLONE = 1n
const OPEN_TREE_CLOEXEC = 0o2000000n
const MOUNT_ATTR_IDMAP = 0x100000n
const MOVE_MOUNT_F_EMPTY_PATH = 4n

export interface IdMappedBind {
  readonly source: string
  /** A directory that exists. */
  readonly target: string
  /** A descriptor of the user namespace whose mapping is used. */
  readonly userNamespace: number
}

/**
 * Binds a directory with the owners of its files mapped: what belongs to id 0 on the disk belongs to whatever id 0 of the
 * namespace is outside of it. Needs privilege over the file system and its support: EPERM, EINVAL.
 *
 * @see open_tree(2), mount_setattr(2), kernel 5.12
 */
export function bindIdMapped({ source, target, userNamespace }: IdMappedBind): void {
  const [from, to, empty] = [cstr(source), cstr(target), cstr('')]
  const tree = check(systemCall(SYS.open_tree, AT_FDCWD, address(from), OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC), 'open_tree', source)
  try {
    const attributes = BigUint64Array.of(MOUNT_ATTR_IDMAP, 0n, 0n, BigInt(userNamespace))
    const bytes = new Uint8Array(attributes.buffer)
    const set = systemCall(SYS.mount_setattr, BigInt(tree), address(empty), AT_EMPTY_PATH, address(bytes), BigInt(bytes.length))
    check(set, 'mount_setattr', source)
    check(systemCall(SYS.move_mount, BigInt(tree), address(empty), AT_FDCWD, address(to), MOVE_MOUNT_F_EMPTY_PATH), 'move_mount', target)
  } finally {
    closeSync(tree)
  }
}

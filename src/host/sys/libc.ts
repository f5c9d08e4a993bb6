import { closeSync } from 'node:fs'
import koffi from 'koffi'

/**
 * The system calls that Node lacks, bound to the C library. The only importer of koffi: a wrong
 * prototype is memory corruption, so every binding lives here, is called with already checked values
 * and has a test of its own. All calls are synchronous and must not block for long; errors carry
 * `code` (`ENOENT`), `errno` and `syscall` like Node's own. What is built of several calls may have a file beside this one.
 */

/** A path; a Buffer where the name need not be UTF-8. */
export type SysPath = string | Uint8Array

/** Seconds and nanoseconds since the epoch; seconds may be negative. */
export interface TimeSpec {
  readonly seconds: number
  readonly nanoseconds: number
}

export const LOCK_EX = 2
export const LOCK_NB = 4
export const LOCK_UN = 8

export const MS_RDONLY = 1n
export const MS_NOSUID = 2n
export const MS_NODEV = 4n
export const MNT_DETACH = 2
export const UMOUNT_NOFOLLOW = 8

const AT_FDCWD = -100
const AT_SYMLINK_NOFOLLOW = 0x100
/** System calls above 424 have one number on every architecture. */
const SYS = { move_mount: 429, close_range: 436, fsopen: 430, fsconfig: 431, fsmount: 432, openat2: 437 } as const

const libc = koffi.load(null)
const bound = <F>(prototype: string): F => libc.func(prototype) as unknown as F

const SYNCFS = 'int syncfs(int fd)'
const syncfsOnThread = libc.func(SYNCFS)

type Path = Uint8Array
const c = {
  mount: bound<(s: Path | null, t: Path, f: Path | null, flags: bigint, data: Path | null) => number>(
    'int mount(const void *source, const void *target, const void *type, ulong flags, const void *data)',
  ),
  umount2: bound<(target: Path, flags: number) => number>('int umount2(const void *target, int flags)'),
  lsetxattr: bound<(p: Path, n: string, v: Uint8Array, size: number, flags: number) => number>(
    'int lsetxattr(const void *path, const char *name, const void *value, size_t size, int flags)',
  ),
  fsetxattr: bound<(fd: number, n: string, v: Uint8Array, size: number, flags: number) => number>(
    'int fsetxattr(int fd, const char *name, const void *value, size_t size, int flags)',
  ),
  lgetxattr: bound<(p: Path, n: string, v: Uint8Array | null, size: number) => number>(
    'long lgetxattr(const void *path, const char *name, void *value, size_t size)',
  ),
  llistxattr: bound<(p: Path, v: Uint8Array | null, size: number) => number>('long llistxattr(const void *path, void *list, size_t size)'),
  lremovexattr: bound<(p: Path, n: string) => number>('int lremovexattr(const void *path, const char *name)'),
  mknod: bound<(p: Path, mode: number, dev: bigint) => number>('int mknod(const void *path, uint mode, ulong dev)'),
  utimensat: bound<(dir: number, p: Path, times: Uint8Array, flags: number) => number>(
    'int utimensat(int dirfd, const void *path, const void *times, int flags)',
  ),
  futimens: bound<(fd: number, times: Uint8Array) => number>('int futimens(int fd, const void *times)'),
  flock: bound<(fd: number, operation: number) => number>('int flock(int fd, int operation)'),
  fcntl: bound<(fd: number, command: number, argument: number) => number>('int fcntl(int fd, int cmd, ...)'.replace('...', 'long arg')),
  syscall: bound<(number: number, a: bigint, b: bigint, d: bigint, e: bigint, f: bigint) => number>(
    'long syscall(long number, ulong a, ulong b, ulong c, ulong d, ulong e)',
  ),
}

/** A NUL-terminated copy. A NUL inside a path would silently cut it: refused. */
export function cstr(text: SysPath): Uint8Array {
  const bytes = typeof text === 'string' ? Buffer.from(text) : text
  if (bytes.includes(0)) throw Object.assign(new Error('path contains a NUL byte'), { code: 'EINVAL', errno: 22, syscall: 'path' })
  const copy = Buffer.allocUnsafe(bytes.length + 1)
  copy.set(bytes)
  copy[bytes.length] = 0
  return copy
}

const NAMES: ReadonlyMap<number, string> = new Map(Object.entries(koffi.os.errno).map(([name, value]) => [value, name]))

/** The result of a call, or its failure with the code that Node would give. */
export function check(result: number, syscall: string, detail: SysPath = ''): number {
  if (result >= 0) return result
  const errno = koffi.errno()
  const code = NAMES.get(errno) ?? `E${errno}`
  const shown = typeof detail === 'string' ? detail : Buffer.from(detail).toString('latin1')
  throw Object.assign(new Error(`${syscall} failed: ${code}${shown && ` '${shown}'`}`), { code, errno, syscall })
}

export interface MountCall {
  readonly source?: string
  readonly target: string
  readonly type?: string
  readonly flags?: bigint
  readonly data?: string
}

export function mount({ source, target, type, flags = 0n, data }: MountCall): void {
  const text = (value: string | undefined) => (value === undefined ? null : cstr(value))
  check(c.mount(text(source), cstr(target), text(type), flags, text(data)), 'mount', target)
}

export function umount2(target: string, flags = 0): void {
  check(c.umount2(cstr(target), flags), 'umount2', target)
}

export function lsetxattr(path: SysPath, name: string, value: Uint8Array): void {
  check(c.lsetxattr(cstr(path), name, value, value.length, 0), 'lsetxattr', path)
}

export function fsetxattr(fd: number, name: string, value: Uint8Array): void {
  check(c.fsetxattr(fd, name, value, value.length, 0), 'fsetxattr', name)
}

/** The value, or undefined when the file has no such attribute. */
export function lgetxattr(path: SysPath, name: string): Buffer | undefined {
  const size = c.lgetxattr(cstr(path), name, null, 0)
  if (size < 0 && koffi.errno() === koffi.os.errno.ENODATA) return undefined
  const value = Buffer.alloc(check(size, 'lgetxattr', path))
  return value.subarray(0, check(c.lgetxattr(cstr(path), name, value, value.length), 'lgetxattr', path))
}

export function llistxattr(path: SysPath): string[] {
  const list = Buffer.alloc(check(c.llistxattr(cstr(path), null, 0), 'llistxattr', path))
  const size = check(c.llistxattr(cstr(path), list, list.length), 'llistxattr', path)
  return list.toString('latin1', 0, size).split('\0').slice(0, -1)
}

export function lremovexattr(path: SysPath, name: string): void {
  check(c.lremovexattr(cstr(path), name), 'lremovexattr', path)
}

/** `mode` includes the file type (`S_IFCHR | 0o600`). The process's umask applies. */
export function mknod(path: SysPath, mode: number, device = 0n): void {
  check(c.mknod(cstr(path), mode, device), 'mknod', path)
}

const S_IFIFO = 0o010000

export function mkfifo(path: SysPath, mode = 0o600): void {
  mknod(path, S_IFIFO | mode)
}

/** glibc's and musl's packing of a device number. */
export function makedev(major: number, minor: number): bigint {
  const [high, low] = [BigInt(major), BigInt(minor)]
  return ((high & 0xfffff000n) << 32n) | ((high & 0xfffn) << 8n) | ((low & 0xffffff00n) << 12n) | (low & 0xffn)
}

/** The two `struct timespec` of the call at hand. Calls are synchronous, and bytes reach them faster than 64-bit numbers. */
const timespecs = new BigInt64Array(4)
const timespecBytes = new Uint8Array(timespecs.buffer)

function times(atime: TimeSpec, mtime: TimeSpec): Uint8Array {
  timespecs[0] = BigInt(atime.seconds)
  timespecs[1] = BigInt(atime.nanoseconds)
  timespecs[2] = BigInt(mtime.seconds)
  timespecs[3] = BigInt(mtime.nanoseconds)
  return timespecBytes
}

export function utimensat(path: SysPath, atime: TimeSpec, mtime: TimeSpec, options: { nofollow: boolean }): void {
  check(c.utimensat(AT_FDCWD, cstr(path), times(atime, mtime), options.nofollow ? AT_SYMLINK_NOFOLLOW : 0), 'utimensat', path)
}

export function futimens(fd: number, atime: TimeSpec, mtime: TimeSpec): void {
  check(c.futimens(fd, times(atime, mtime)), 'futimens')
}

/** Always pass {@link LOCK_NB} unless waiting is impossible: a blocked call stops the whole thread. */
export function flock(fd: number, operation: number): void {
  check(c.flock(fd, operation), 'flock')
}

/** On a thread of libuv's pool: it takes as long as the disk does. */
export function syncfsAsync(fd: number): Promise<void> {
  return new Promise((resolve, reject) => {
    syncfsOnThread.async(fd, (error: Error | null, result: number) => {
      if (error !== null) return reject(error)
      try {
        resolve(void check(result, 'syncfs'))
      } catch (failure) {
        reject(failure)
      }
    })
  })
}

const F_SETPIPE_SZ = 1031
/** Grows a pipe's buffer; a refusal (limit reached) is harmless and ignored. */
export function growPipe(fd: number, bytes: number): void {
  c.fcntl(fd, F_SETPIPE_SZ, bytes)
}

const CLOSE_RANGE_CLOEXEC = 4n
/** Keeps every descriptor from `first` on from children, also those that this process inherited itself. @see close_range(2), kernel 5.11 */
export function closeOnExecFrom(first: number): void {
  c.syscall(SYS.close_range, BigInt(first), 0xffffffffn, CLOSE_RANGE_CLOEXEC, 0n, 0n)
}

/** Keep the buffer in a variable until the call has returned. */
export const address = (buffer: Uint8Array | null): bigint => (buffer === null ? 0n : koffi.address(buffer))

/** A system call that the C library has no function for, with up to five arguments. */
export function systemCall(number: number, ...[a = 0n, b = 0n, d = 0n, e = 0n, f = 0n]: readonly bigint[]): number {
  return c.syscall(number, a, b, d, e, f)
}

const RESOLVE_IN_ROOT = 0x10n
/**
 * Opens `path` as if `root` were `/`: no symlink, `..` or magic link leads out.
 *
 * @see openat2(2), kernel 5.6
 */
export function openInRoot(rootFd: number, path: SysPath, flags: number, mode = 0): number {
  const how = BigUint64Array.of(BigInt(flags), BigInt(mode), RESOLVE_IN_ROOT)
  const bytes = new Uint8Array(how.buffer)
  const name = cstr(path)
  return check(c.syscall(SYS.openat2, BigInt(rootFd), address(name), address(bytes), 24n, 0n), 'openat2', path)
}

const FSCONFIG = { flag: 0n, string: 1n, create: 6n } as const
const MOVE_MOUNT_F_EMPTY_PATH = 4n

/** One parameter of {@link mountWithParameters}: a flag has no value. */
export type MountParameter = readonly [key: string, value?: string]

export interface NewMount {
  readonly type: string
  readonly target: string
  readonly parameters: readonly MountParameter[]
  /** `MOUNT_ATTR_*` bits. */
  readonly attributes?: bigint
}

export const MOUNT_ATTR_RDONLY = 1n
export const MOUNT_ATTR_NOSUID = 2n
export const MOUNT_ATTR_NODEV = 4n

/**
 * Mounts through the new mount API, which takes parameters one by one and so has no page-size limit on
 * them (overlay's `lowerdir+` needs kernel 6.5; older kernels fail with EINVAL).
 *
 * @see fsopen(2), fsconfig(2), fsmount(2), move_mount(2)
 */
export function mountWithParameters({ type, target, parameters, attributes = 0n }: NewMount): void {
  const typeName = cstr(type)
  const context = check(c.syscall(SYS.fsopen, address(typeName), 1n, 0n, 0n, 0n), 'fsopen', type)
  let mounted = -1
  try {
    for (const [key, value] of parameters) configure(context, key, value)
    check(c.syscall(SYS.fsconfig, BigInt(context), FSCONFIG.create, 0n, 0n, 0n), 'fsconfig', target)
    mounted = check(c.syscall(SYS.fsmount, BigInt(context), 1n, attributes, 0n, 0n), 'fsmount', target)
    const [empty, to] = [cstr(''), cstr(target)]
    const moved = c.syscall(
      SYS.move_mount,
      BigInt(mounted),
      address(empty),
      BigInt.asUintN(64, BigInt(AT_FDCWD)),
      address(to),
      MOVE_MOUNT_F_EMPTY_PATH,
    )
    check(moved, 'move_mount', target)
  } finally {
    if (mounted >= 0) closeSync(mounted)
    closeSync(context)
  }
}

function configure(context: number, key: string, value: string | undefined): void {
  const [name, text] = [cstr(key), value === undefined ? null : cstr(value)]
  const command = value === undefined ? FSCONFIG.flag : FSCONFIG.string
  check(c.syscall(SYS.fsconfig, BigInt(context), command, address(name), address(text), 0n), 'fsconfig', `${key}=${value ?? ''}`)
}

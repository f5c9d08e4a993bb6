import koffi from 'koffi'

/**
 * `posix_spawn(3)`: starts a program without copying the page tables of this process. Node's own spawn
 * forks, which costs about 1 ms in a worker of 50 MB and blocks it meanwhile; this costs 0.2 ms at any
 * size, and a container takes four of them.
 */

export interface SpawnCall {
  /** Absolute path; nothing is looked up. */
  readonly file: string
  /** Includes `argv[0]`. */
  readonly argv: readonly string[]
  readonly env: Readonly<Record<string, string>>
  readonly cwd: string
  /** Descriptors of this process that become 0, 1 and 2 of the child. All must be above 2. */
  readonly stdio: readonly [stdin: number, stdout: number, stderr: number]
  /** Further descriptors that the child gets, under the number they have here. Everything else is closed. */
  readonly inherit?: readonly number[]
  /** Makes the child lead a session of its own, beyond the reach of a terminal's signals. */
  readonly newSession?: boolean
}

const libc = koffi.load(null)
const bound = <F>(prototype: string): F => libc.func(prototype) as unknown as F

type Memory = Uint8Array
const c = {
  spawn: bound<
    (pid: Int32Array, path: string, actions: Memory, attributes: Memory, argv: (string | null)[], env: (string | null)[]) => number
  >('int posix_spawn(void *pid, const char *path, const void *actions, const void *attributes, const char **argv, const char **envp)'),
  actionsInit: bound<(actions: Memory) => number>('int posix_spawn_file_actions_init(void *actions)'),
  actionsDestroy: bound<(actions: Memory) => number>('int posix_spawn_file_actions_destroy(void *actions)'),
  dup2: bound<(actions: Memory, from: number, to: number) => number>(
    'int posix_spawn_file_actions_adddup2(void *actions, int from, int to)',
  ),
  chdir: bound<(actions: Memory, path: string) => number>('int posix_spawn_file_actions_addchdir_np(void *actions, const char *path)'),
  attributesInit: bound<(attributes: Memory) => number>('int posix_spawnattr_init(void *attributes)'),
  attributesDestroy: bound<(attributes: Memory) => number>('int posix_spawnattr_destroy(void *attributes)'),
  setFlags: bound<(attributes: Memory, flags: number) => number>('int posix_spawnattr_setflags(void *attributes, short flags)'),
  setMask: bound<(attributes: Memory, set: Memory) => number>('int posix_spawnattr_setsigmask(void *attributes, const void *set)'),
  setDefault: bound<(attributes: Memory, set: Memory) => number>('int posix_spawnattr_setsigdefault(void *attributes, const void *set)'),
  waitpid: bound<(pid: number, status: Int32Array, options: number) => number>('int waitpid(int pid, void *status, int options)'),
  memfd: bound<(name: string, flags: number) => number>('int memfd_create(const char *name, uint flags)'),
  pipe2: bound<(fds: Int32Array, flags: number) => number>('int pipe2(void *fds, int flags)'),
  eventfd: bound<(initial: number, flags: number) => number>('int eventfd(uint initial, int flags)'),
  fcntl: bound<(fd: number, command: number, argument: number) => number>('int fcntl(int fd, int cmd, long arg)'),
}

/** Both C libraries keep these structures below 400 bytes. */
const STRUCT_SIZE = 512
/** `sigset_t` is 1024 bits in both. */
const SIGSET_SIZE = 128
const SETSIGDEF = 0x04
const SETSIGMASK = 0x08
const SETSID = 0x80
const SIGKILL = 9
const SIGSTOP = 19
/** Also those that C libraries keep for themselves: glibc would leave them ignored in the child. */
const LAST_SIGNAL = 64

/**
 * Starts a program and returns its process ID; its end is seen with {@link waitpid}.
 *
 * @see posix_spawn(3)
 */
export function posixSpawn(call: SpawnCall): number {
  const [actions, attributes] = [Buffer.alloc(STRUCT_SIZE), Buffer.alloc(STRUCT_SIZE)]
  const texts = [call.file, call.cwd, ...call.argv, ...Object.entries(call.env).flat()]
  if (texts.some((text) => text.includes('\0'))) throw systemError(koffi.os.errno.EINVAL ?? 22, 'posix_spawn', 'NUL byte in an argument')
  c.actionsInit(actions)
  c.attributesInit(attributes)
  try {
    for (const [target, fd] of call.stdio.entries()) expectZero(c.dup2(actions, fd, target), 'dup2')
    // A dup2 onto itself takes the close-on-exec flag off in the child.
    for (const fd of call.inherit ?? []) expectZero(c.dup2(actions, fd, fd), 'dup2')
    expectZero(c.chdir(actions, call.cwd), 'chdir')
    // Node ignores SIGPIPE, and an ignored signal stays ignored across exec.
    c.setDefault(attributes, allSignals())
    c.setMask(attributes, Buffer.alloc(SIGSET_SIZE))
    c.setFlags(attributes, SETSIGDEF | SETSIGMASK | (call.newSession ? SETSID : 0))
    const pid = new Int32Array(1)
    const env = Object.entries(call.env).map(([name, value]) => `${name}=${value}`)
    expectZero(c.spawn(pid, call.file, actions, attributes, [...call.argv, null], [...env, null]), 'posix_spawn', call.file)
    return pid[0] as number
  } finally {
    c.actionsDestroy(actions)
    c.attributesDestroy(attributes)
  }
}

function allSignals(): Buffer {
  const set = Buffer.alloc(SIGSET_SIZE)
  for (let signal = 1; signal <= LAST_SIGNAL; signal++) {
    if (signal !== SIGKILL && signal !== SIGSTOP) set[(signal - 1) >> 3] = (set[(signal - 1) >> 3] as number) | (1 << ((signal - 1) & 7))
  }
  return set
}

const WNOHANG = 1

/** How a child ended. */
export type WaitStatus = { readonly exitCode: number; readonly signal: null } | { readonly exitCode: null; readonly signal: number }

/** The end of a child of this process, or undefined while it runs. Collects it: a second call fails with ECHILD. */
export function waitpid(pid: number): WaitStatus | undefined {
  const status = new Int32Array(1)
  const result = c.waitpid(pid, status, WNOHANG)
  if (result === 0) return undefined
  if (result < 0) throw systemError(koffi.errno(), 'waitpid', String(pid))
  const word = status[0] as number
  const signal = word & 0x7f
  return signal === 0 ? { exitCode: (word >> 8) & 0xff, signal: null } : { exitCode: null, signal }
}

const MFD_CLOEXEC = 1
const MFD_ALLOW_SEALING = 2
const MFD_EXEC = 0x10
const F_ADD_SEALS = 1033
/** F_SEAL_SEAL, F_SEAL_SHRINK, F_SEAL_GROW, F_SEAL_WRITE. */
const ALL_SEALS = 0xf

/** A file without a name that lives as long as it is open. */
export function anonymousFile(name: string): number {
  return checked(c.memfd(name, MFD_CLOEXEC), 'memfd_create')
}

/** An anonymous file that may be executed and sealed. Fails where `vm.memfd_noexec` forbids it. */
export function executableAnonymousFile(name: string): number {
  const fd = c.memfd(name, MFD_CLOEXEC | MFD_ALLOW_SEALING | MFD_EXEC)
  // Kernels before 6.3 know no MFD_EXEC: every anonymous file is executable there.
  return fd >= 0 ? fd : checked(c.memfd(name, MFD_CLOEXEC | MFD_ALLOW_SEALING), 'memfd_create')
}

/** Makes an anonymous file unchangeable for ever, also for root. */
export function seal(fd: number): void {
  checked(c.fcntl(fd, F_ADD_SEALS, ALL_SEALS), 'fcntl')
}

const O_CLOEXEC = 0o2000000
const EFD_NONBLOCK = 0o4000

/** A counter that the kernel raises: reading gives and clears it, or fails with EAGAIN while it is zero. */
export function eventCounter(): number {
  return checked(c.eventfd(0, EFD_NONBLOCK | O_CLOEXEC), 'eventfd')
}

const F_SETFL = 4

/** Takes `O_NONBLOCK` off a descriptor: programs expect their standard streams to block. */
export function setBlocking(fd: number): void {
  checked(c.fcntl(fd, F_SETFL, 0), 'fcntl')
}

/** A pipe, both ends closed on exec. */
export function pipe(): { readonly read: number; readonly write: number } {
  const fds = new Int32Array(2)
  checked(c.pipe2(fds, O_CLOEXEC), 'pipe2')
  return { read: fds[0] as number, write: fds[1] as number }
}

function checked(result: number, syscall: string): number {
  if (result < 0) throw systemError(koffi.errno(), syscall, '')
  return result
}

/** The posix_spawn family returns the error number instead of setting `errno`. */
function expectZero(errno: number, syscall: string, detail = ''): void {
  if (errno !== 0) throw systemError(errno, syscall, detail)
}

function systemError(errno: number, syscall: string, detail: string): Error {
  const code = Object.entries(koffi.os.errno).find(([, value]) => value === errno)?.[0] ?? `E${errno}`
  return Object.assign(new Error(`${syscall} failed: ${code}${detail && ` '${detail}'`}`), { code, errno, syscall })
}

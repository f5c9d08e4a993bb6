import koffi from 'koffi'

const libc = koffi.load(null)
const ptrace: (request: number, pid: number, address: bigint, data: Uint8Array | null) => number = libc.func(
  'long ptrace(int request, int pid, ulong address, void *data)',
)
const waitpid: (pid: number, status: Int32Array, options: number) => number = libc.func('int waitpid(int pid, void *status, int options)')

const PTRACE_ATTACH = 16
const PTRACE_DETACH = 17
const PTRACE_SECCOMP_GET_FILTER = 0x420c
const WALL = 0x40000000
const INSTRUCTION_BYTES = 8

/** The innermost seccomp filter that the kernel runs for a process, in its own form. @see ptrace(2), PTRACE_SECCOMP_GET_FILTER */
export function loadedFilter(pid: number): Buffer {
  const must = (result: number, what: string) => {
    if (result < 0) throw new Error(`${what} of ${pid} failed: errno ${koffi.errno()}`)
    return result
  }
  must(ptrace(PTRACE_ATTACH, pid, 0n, null), 'attach')
  try {
    must(waitpid(pid, new Int32Array(1), WALL), 'wait')
    const instructions = must(ptrace(PTRACE_SECCOMP_GET_FILTER, pid, 0n, null), 'length of the filter')
    const filter = Buffer.alloc(instructions * INSTRUCTION_BYTES)
    must(ptrace(PTRACE_SECCOMP_GET_FILTER, pid, 0n, filter), 'filter')
    return filter
  } finally {
    ptrace(PTRACE_DETACH, pid, 0n, null)
  }
}

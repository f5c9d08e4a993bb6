import { closeSync, constants, openSync } from 'node:fs'
import type { StdioPaths } from './stdio.ts'
import { setBlocking } from './sys/posix-spawn.ts'

const { O_RDONLY, O_WRONLY, O_RDWR, O_NONBLOCK } = constants

/** Descriptors for a child's 0, 1 and 2. */
export interface ChildStdio {
  readonly fds: readonly [stdin: number, stdout: number, stderr: number]
  /** Closes the worker's copies: from then on the streams end when the processes that have them do. */
  close(): void
}

/**
 * Opens the worker's ends of an application's FIFOs. Never waits: an application that died meanwhile
 * shows as ENXIO for output, and as an immediate end of file for input.
 */
export function openChildStdio({ stdin, stdout, stderr }: StdioPaths): ChildStdio {
  const opened: number[] = []
  let nothing: number | undefined
  const keep = (fd: number): number => {
    opened.push(fd)
    return fd
  }
  const open = (path: string | undefined, flags: number): number => {
    if (path === undefined) {
      nothing ??= keep(openSync('/dev/null', O_RDWR))
      return nothing
    }
    const fd = keep(openSync(path, flags | O_NONBLOCK))
    setBlocking(fd)
    return fd
  }
  const close = () => {
    for (const fd of opened.splice(0)) closeSync(fd)
  }
  try {
    return { fds: [open(stdin, O_RDONLY), open(stdout, O_WRONLY), open(stderr, O_WRONLY)], close }
  } catch (error) {
    close()
    throw error
  }
}

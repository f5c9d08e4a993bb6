import { closeSync, constants, openSync, rmSync } from 'node:fs'
import { Socket } from 'node:net'
import { join } from 'node:path'
import type { Readable, Writable } from 'node:stream'
import { mkfifo } from './sys/libc.ts'

/**
 * The application's side of the standard streams of a process that the worker starts. Bytes go through
 * FIFOs, straight between the process and the application: none passes the worker. They are pipes, not
 * sockets, because programs open `/dev/stderr` and the like, which a socket refuses.
 */

export interface StdioOptions {
  /** Where the FIFOs are made; they are gone again when the process has started. */
  readonly directory: string
  /** Distinguishes the FIFOs of several processes in one directory. */
  readonly name: string
  readonly stdin?: StdioMode | undefined
  readonly stdout?: StdioMode | undefined
  readonly stderr?: StdioMode | undefined
}

/** A stream to the application, or `/dev/null`. */
export type StdioMode = 'pipe' | 'ignore'

/** FIFOs for the worker to open; a stream without one is `/dev/null`. */
export interface StdioPaths {
  readonly stdin?: string
  readonly stdout?: string
  readonly stderr?: string
}

/** The application's ends. A stream is undefined when it was to be ignored. */
export interface StdioStreams {
  readonly stdin: Writable | undefined
  readonly stdout: Readable | undefined
  readonly stderr: Readable | undefined
}

export interface OpenStdio {
  readonly paths: StdioPaths
  /** To be called once the worker holds its ends: before, a reader would meet an end of file that is none. */
  connect(): StdioStreams
  /** Gives everything up when the process did not come to be. */
  abandon(): void
}

const { O_RDONLY, O_WRONLY, O_NONBLOCK } = constants

/** Makes the FIFOs and opens the application's ends, none of which waits for the other side. */
export function openStdio({ directory, name, stdin, stdout, stderr }: StdioOptions): OpenStdio {
  const fds: number[] = []
  const paths: string[] = []
  const open = (path: string, flags: number): number => {
    const fd = openSync(path, flags | O_NONBLOCK)
    fds.push(fd)
    return fd
  }
  const make = (stream: string): string => {
    const path = join(directory, `${name}.${stream}`)
    mkfifo(path, 0o600)
    paths.push(path)
    return path
  }
  const reader = (mode: StdioMode | undefined, stream: string) => {
    if (mode !== 'pipe') return undefined
    const path = make(stream)
    return { path, fd: open(path, O_RDONLY) }
  }
  const writer = (mode: StdioMode | undefined) => {
    if (mode !== 'pipe') return undefined
    const path = make('stdin')
    // Someone has to read before the FIFO can be opened for writing; until the worker does, that is us.
    const placeholder = open(path, O_RDONLY)
    return { path, placeholder, fd: open(path, O_WRONLY) }
  }
  const abandon = () => {
    for (const fd of fds.splice(0)) closeSync(fd)
    for (const path of paths.splice(0)) rmSync(path, { force: true })
  }
  try {
    const [input, output, errors] = [writer(stdin), reader(stdout, 'stdout'), reader(stderr, 'stderr')]
    return {
      paths: { ...(input && { stdin: input.path }), ...(output && { stdout: output.path }), ...(errors && { stderr: errors.path }) },
      connect() {
        if (input) closeSync(input.placeholder)
        fds.length = 0
        abandon()
        return { stdin: input && writeTo(input.fd), stdout: output && readFrom(output.fd), stderr: errors && readFrom(errors.fd) }
      },
      abandon,
    }
  } catch (error) {
    abandon()
    throw error
  }
}

function readFrom(fd: number): Readable {
  return new Socket({ fd, readable: true, writable: false, allowHalfOpen: true })
}

function writeTo(fd: number): Writable {
  return new Socket({ fd, readable: false, writable: true, allowHalfOpen: true })
}

import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import { afterEach } from '@jest/globals'

/** A program of this folder that runs as a process of its own. */
export interface ChildProgram {
  readonly pid: number
  /** The next line that it prints; undefined when it ends without one. */
  line(): Promise<string | undefined>
  kill(signal: NodeJS.Signals): void
  /** Its exit code, or null when a signal ended it. */
  readonly exited: Promise<number | null>
}

/** Starts `test/helpers/<file>` with Node as it stands. Whatever still runs when a test ends is killed. */
export function childPrograms(): (file: string, ...args: string[]) => ChildProgram {
  const running = new Set<ChildProcess>()
  afterEach(async () => {
    for (const child of running) {
      const gone = once(child, 'exit')
      child.kill('SIGKILL')
      await gone
    }
  })
  return (file, ...args) => {
    const path = fileURLToPath(new URL(file, import.meta.url))
    const child = spawn(process.execPath, ['--no-warnings', path, ...args], { stdio: ['ignore', 'pipe', 'inherit'] })
    running.add(child)
    const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]()
    const exited = once(child, 'exit').then(([code]) => {
      running.delete(child)
      return code as number | null
    })
    return {
      pid: child.pid as number,
      line: async () => (await lines.next()).value as string | undefined,
      kill: (signal) => void child.kill(signal),
      exited,
    }
  }
}

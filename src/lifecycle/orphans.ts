import { readFileSync } from 'node:fs'
import { WORKER_NAME } from '../host/abandoned-workers.ts'
import { listProcesses, readProcess } from '../host/proc.ts'
import type { Context } from './context.ts'

/** The file that an attached exec reads its process from: a worker's own, for as long as that lives. */
const WORKER_FILE = /^\/proc\/(\d+)\/fd\/\d+$/

/**
 * Ends processes in containers of this store that nobody attends any more: their program was killed, and their worker, which
 * ends them when it is left alone, with it.
 */
export async function endOrphans(context: Context): Promise<void> {
  const orphans = listProcesses().filter(({ pid }) => isOrphan(argvOf(pid), context.paths.ociRoot))
  if (orphans.length === 0) return
  const host = await context.host()
  await Promise.all(orphans.map(({ pid, startTime }) => host.run('end-attached', { process: { pid, startTime } })))
}

function isOrphan(argv: readonly string[], ociRoot: string): boolean {
  if (!argv.includes('exec') || !argv.some((word) => word.startsWith(ociRoot))) return false
  const worker = WORKER_FILE.exec(argv[argv.indexOf('--process') + 1] ?? '')?.[1]
  return worker !== undefined && !isWorker(Number(worker))
}

function isWorker(pid: number): boolean {
  const found = readProcess(pid)
  return found !== undefined && found.command === WORKER_NAME && found.state !== 'Z'
}

function argvOf(pid: number): string[] {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, 'utf8').split('\0')
  } catch {
    // It ended meanwhile.
    return []
  }
}

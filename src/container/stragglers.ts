import { readFileSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'
import { listProcesses, type ProcessStat, signalProcess } from '../host/proc.ts'
import type { StorePaths } from '../lifecycle/paths.ts'

/** What was killed is gone after one look or two, unless it hangs in the kernel. */
const KILL_TIMEOUT_MS = 2_000

/**
 * Kills monitor and OCI runtime that an interrupted create or run left on their way. Looks again until there are none: a
 * monitor may have started its runtime between the look and the kill.
 */
export async function killStragglers(paths: StorePaths, id: string): Promise<void> {
  const deadline = Date.now() + KILL_TIMEOUT_MS
  const look = () => processesAtWork(paths, id)
  for (let found = look(); found.length > 0 && Date.now() < deadline; found = look()) {
    for (const process of found) signalProcess(process, 'SIGKILL')
    await sleep(2)
  }
}

/** Monitors and OCI runtimes that are at something for a container. A look through all processes of the host. */
export function processesAtWork({ ociRoot }: StorePaths, id: string): ProcessStat[] {
  return listProcesses().filter(({ pid }) => isAtWork(commandLine(pid), ociRoot, id))
}

/** Whether it is told of the container by name, and of this store as the OCI runtime's: nobody else's program is. */
function isAtWork(argv: readonly string[], ociRoot: string, id: string): boolean {
  const root = argv.findIndex((word) => word === '--root' || word === '--runtime-arg=--root')
  return root >= 0 && argv.includes(id) && (argv[root + 1] ?? '').replace('--runtime-arg=', '').startsWith(`${ociRoot}/`)
}

function commandLine(pid: number): string[] {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, 'utf8').split('\0')
  } catch {
    // It ended meanwhile.
    return []
  }
}

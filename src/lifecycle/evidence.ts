import { setTimeout as sleep } from 'node:timers/promises'
import { isSameProcess, readProcess } from '../host/proc.ts'
import type { ContainerRow } from '../state/container-row.ts'
import type { Context } from './context.ts'
import { type Evidence, expectsProcess } from './reconcile.ts'
import type { ExitFacts } from './state-machine.ts'

/** How long a living monitor gets to write the exit record of a process that is gone. */
const RECORD_TIMEOUT_MS = 5_000

const NO_PROCESS = { exit: undefined, processAlive: false, programRuns: false } as const

/** Looks at the host for one container. Cheap: an exit file's absence and one line of /proc. */
export async function gatherEvidence(context: Context, row: ContainerRow): Promise<Evidence> {
  const sameBoot = row.bootId === context.bootId
  const now = Date.now()
  if (!sameBoot || !expectsProcess(row.status)) return { sameBoot, now, ...NO_PROCESS }
  if (row.attached) return { sameBoot, now, ...NO_PROCESS, processAlive: ownerAlive(context, row) }
  const monitor = await context.monitor()
  const record = () => monitor.exitRecord(row.id)
  const exit = record()
  if (exit) return { sameBoot, now, ...NO_PROCESS, exit }
  if (processAlive(row)) return { sameBoot, now, exit: undefined, processAlive: true, programRuns: programRuns(row) }
  return { sameBoot, now, ...NO_PROCESS, exit: await awaitRecord(row, record) }
}

/** An attached container is its owner's child: while the owner lives, the owner's own verb knows better. */
function ownerAlive({ owner }: Context, { ownerPid, ownerStartTime }: ContainerRow): boolean {
  if (ownerPid === owner.pid && ownerStartTime === owner.startTime) return true
  return ownerPid !== null && isSameProcess(ownerPid, ownerStartTime ?? 0)
}

function processAlive(row: ContainerRow): boolean {
  return row.pid !== null && isSameProcess(row.pid, row.pidStartTime ?? 0)
}

/** The OCI runtime forks the first process, which calls execve(2) when the container is started: asked only where that is not known. */
function programRuns({ status, pid }: ContainerRow): boolean {
  return status !== 'created' || (pid !== null && readProcess(pid)?.executed === true)
}

async function awaitRecord(row: ContainerRow, record: () => ExitFacts | undefined): Promise<ExitFacts | undefined> {
  const deadline = Date.now() + RECORD_TIMEOUT_MS
  while (row.monitorPid !== null && isSameProcess(row.monitorPid, row.monitorStartTime ?? 0) && Date.now() < deadline) {
    const exit = record()
    if (exit) return exit
    await sleep(5)
  }
  return record()
}

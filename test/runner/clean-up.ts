import { spawnSync } from 'node:child_process'
import { rmdirSync, rmSync } from 'node:fs'
import { isCertain, type TestRun, type Trace } from './machine.ts'

/**
 * Takes away what a failed run certainly left: processes by their ids, then mounts (innermost first), loop devices and
 * cgroups. What might be somebody else's stays, and so do files, which are the evidence. The run has failed by then; this
 * keeps the next one from failing for the same reason.
 */
export function cleanUp(all: readonly Trace[], run: TestRun): void {
  const left = all.filter((trace) => isCertain(trace, run))
  const of = (...kinds: Trace['kind'][]) => left.filter(({ kind }) => kinds.includes(kind))
  for (const { id } of of('process')) end(Number(id.split(' ')[0]))
  for (const { label } of of('mount', 'network namespace').reverse()) spawnSync('umount', ['--lazy', label.split(' (')[0] ?? ''])
  for (const { id } of of('loop device')) spawnSync('losetup', ['--detach', `/dev/${id.split(' ')[0]}`])
  for (const { id } of of('cgroup').reverse()) removeCgroup(id)
}

/** Removes the directory of temporary files of a run whose mounts are gone. */
export function removeTemporaryFiles(directory: string): void {
  rmSync(directory, { recursive: true, force: true, maxRetries: 3 })
}

function end(pid: number): void {
  try {
    process.kill(pid, 'SIGKILL')
  } catch {
    // Gone by itself in between.
  }
}

function removeCgroup(path: string): void {
  try {
    rmdirSync(path)
  } catch {
    // A killed process may not have left it yet; an empty cgroup does no harm.
  }
}

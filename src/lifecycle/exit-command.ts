import { findProgram } from '../host/programs.ts'
import { ownerLockPath } from '../lock/owner-lock.ts'
import { ownFile } from '../util/own-file.ts'

/** Runs its arguments only while nobody holds the lock: with a podlib process alive that costs a millisecond and does nothing. */
const UNLESS_OWNED = 'flock=$0; lock=$1; shift; "$flock" -n -x "$lock" true && exec "$@"'

export interface ExitCommandOptions {
  readonly runRoot: string
  /** Where programs are looked for. */
  readonly path: string | undefined
  /** How the program opens the store. Whoever may list processes sees it: no secrets. */
  readonly open: Readonly<Record<string, unknown>>
}

/** What conmon runs when a container ends: the program `exit-command`, unless a podlib process has the store open. */
export function exitCommand({ runRoot, path, open }: ExitCommandOptions): string[] {
  const find = (name: string) => findProgram(name, { path })
  return [
    find('sh'),
    '-c',
    UNLESS_OWNED,
    find('flock'),
    ownerLockPath(runRoot),
    process.execPath,
    ownFile('programs/exit-command'),
    JSON.stringify(open),
  ]
}

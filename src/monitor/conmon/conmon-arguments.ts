import { join } from 'node:path'

/** What conmon is to do. */
export interface ConmonPlan {
  /** The container. */
  readonly id: string
  readonly bundle: string
  /** Directory for the exit file, which is named by the container. */
  readonly exits: string
  /** Directory for the marker of an out-of-memory kill. */
  readonly persist: string
  readonly log: readonly string[]
  readonly terminal: boolean
  readonly stdin: boolean
  readonly exitCommand: readonly string[]
  readonly task:
    | { readonly type: 'create'; readonly name: string }
    | { readonly type: 'exec'; readonly session: string; readonly processFile: string }
}

/**
 * The command line of conmon, but for the runtime. `--sync` makes it fork once only: the process that is
 * started is the monitor. `--full-attach` keeps its sockets inside the bundle, where its default is a
 * directory of CRI-O.
 *
 * @see conmon(8)
 */
export function conmonArguments(plan: ConmonPlan): string[] {
  const { id, bundle, exits, persist, log, terminal, stdin, exitCommand, task } = plan
  return [
    // A switch; the number is what podman passes too.
    '--api-version',
    '1',
    '--sync',
    '--full-attach',
    '--cid',
    id,
    ...(task.type === 'create' ? ['--cuuid', id, '--name', task.name] : ['--cuuid', task.session]),
    '--bundle',
    bundle,
    '--container-pidfile',
    join(bundle, 'pidfile'),
    '--exit-dir',
    exits,
    '--persist-dir',
    persist,
    ...log,
    ...(terminal ? ['--terminal'] : stdin ? ['--stdin'] : []),
    ...(task.type === 'exec' ? ['--exec', '--exec-process-spec', task.processFile] : []),
    ...exitCommandArguments(exitCommand),
  ]
}

function exitCommandArguments([program, ...args]: readonly string[]): string[] {
  if (program === undefined) return []
  return ['--exit-command', program, ...args.map((argument) => `--exit-command-arg=${argument}`)]
}

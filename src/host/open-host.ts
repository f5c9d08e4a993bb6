import { mkdirSync, readFileSync } from 'node:fs'
import { ownFile } from '../util/own-file.ts'
import { WORKER_RUN_ROOT } from './abandoned-workers.ts'
import type { Host, HostFacts } from './host.ts'
import { mapsEverything, parseIdMap } from './id-map.ts'
import { readPauseRecord } from './pause-process.ts'
import { findProgram } from './programs.ts'
import { endUserNamespace, nsenterArguments, openUserNamespace, type UserNamespace } from './user-namespace.ts'
import type { WorkerCommand } from './worker-client.ts'
import { createWorkerHost } from './worker-host.ts'

export interface OpenHostOptions {
  readonly runRoot: string
  readonly user: { readonly name: string; readonly uid: number; readonly gid: number }
  readonly env: Readonly<Record<string, string>>
  /** Runs `work` while no other process makes or joins what the hosts of this run root share. */
  readonly exclusively: <T>(work: () => Promise<T>) => Promise<T>
}

/**
 * The buffers of an unpack are garbage at once: a small young generation gives their memory back in time. The heap is small
 * and the processors are busy: threads that collect beside the program cost more than they save, and so does the collector when it
 * looks through a heap that only grows to its usual size.
 */
const WORKER_FLAGS = ['--max-semi-space-size=2', '--single-threaded-gc', '--initial-old-space-size=64']

const CAP_SYS_ADMIN = 21n

/**
 * The host, as this process can use it: directly with privilege, else through a user namespace of its own. This is the
 * one place that tells the two apart.
 */
export async function openHost(options: OpenHostOptions): Promise<Host> {
  const worker = { file: process.execPath, args: [...WORKER_FLAGS, ownFile('programs/host-worker')], env: workerEnv(options) }
  if (isPrivileged(options.user.uid)) return createWorkerHost({ facts: ownFacts(), command: async () => worker })
  const nsenter = findProgram('nsenter', { path: options.env.PATH })
  const join = () => options.exclusively(() => joinUserNamespace(options))
  const { uids, gids } = await join()
  // Joined anew before each worker: whoever killed the last one may have killed the pause process too.
  const command = async (): Promise<WorkerCommand> => {
    const args = [...nsenterArguments(await join()), worker.file, ...worker.args]
    return { file: nsenter, args, env: worker.env }
  }
  // Whoever made the namespace may look through its members: see ptrace(2), "ptrace access mode checking".
  const visible = (path: string) => `/proc/${readPauseRecord(options.runRoot)?.pid}/root${path}`
  return createWorkerHost({ facts: { inUserNamespace: true, overlayXattrs: 'user', makesCgroups: false, uids, gids }, command, visible })
}

/** Ends what the hosts of one run root share. The caller made sure that none is open and that no container runs. */
export function endSharedHost(runRoot: string): void {
  endUserNamespace(runRoot)
}

async function joinUserNamespace({ runRoot, user, env }: OpenHostOptions): Promise<UserNamespace> {
  mkdirSync(runRoot, { recursive: true, mode: 0o700 })
  return openUserNamespace({ user, runRoot, find: (name) => findProgram(name, { path: env.PATH }) })
}

function isPrivileged(uid: number): boolean {
  const effective = /^CapEff:\s*([0-9a-f]+)/m.exec(readFileSync('/proc/self/status', 'latin1'))?.[1] ?? '0'
  return uid === 0 && ((BigInt(`0x${effective}`) >> CAP_SYS_ADMIN) & 1n) === 1n
}

/** Root of a user namespace that somebody else made is privileged, but only in there. */
function ownFacts(): HostFacts {
  const map = (file: string) => parseIdMap(readFileSync(`/proc/self/${file}`, 'latin1'))
  const uids = map('uid_map')
  const first = mapsEverything(uids)
  return { inUserNamespace: !first, overlayXattrs: first ? 'trusted' : 'user', makesCgroups: first, uids, gids: map('gid_map') }
}

/** What the worker may know of the application's environment; a compile cache of the application saves the worker's compiling too. */
function workerEnv({ env, runRoot }: OpenHostOptions): Record<string, string> {
  const kept = ['PATH', 'XDG_RUNTIME_DIR', 'NODE_COMPILE_CACHE'].flatMap((name) =>
    env[name] === undefined ? [] : [[name, env[name]] as const],
  )
  return { ...Object.fromEntries(kept), [WORKER_RUN_ROOT]: runRoot }
}

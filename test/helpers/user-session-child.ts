// Runs as an unprivileged user and does what the test says on the line between the two. Started by unprivileged-user.ts.
import { readFileSync } from 'node:fs'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { toWireError, type WireError } from '../../src/errors/errors.ts'
import { findProgram } from '../../src/host/programs.ts'
import { flock } from '../../src/host/sys/libc.ts'
import { endUserNamespace, openUserNamespace } from '../../src/host/user-namespace.ts'
import {
  type BuildOptions,
  type ContainerSpec,
  type ExecOptions,
  type RunOptions,
  Runtime,
  type RuntimeOptions,
  type StopOptions,
} from '../../src/index.ts'
import { withFileLock } from '../../src/lock/file-lock.ts'

/** A call, and its answer. */
export interface SessionCall {
  readonly id: number
  readonly action: string
  readonly args: readonly unknown[]
}
export interface SessionReply {
  readonly id: number
  readonly value?: unknown
  readonly error?: WireError
}

let opened: Runtime | undefined

function runtime(): Runtime {
  if (opened === undefined) throw new Error('no runtime is open')
  return opened
}

const container = (id: string) => runtime().containers.get(id)

/** What a session can be asked. */
const ACTIONS = {
  async open(options: RuntimeOptions): Promise<void> {
    opened = await Runtime.open(options)
  },
  async close(): Promise<void> {
    await opened?.close()
    opened = undefined
  },
  info: () => runtime().info(),
  pull: async (name: string) => (await runtime().images.pull(name)).id,
  /** Builds an image; with a line, until that is said. */
  async build(options: BuildOptions, until?: string): Promise<string> {
    const stop = new AbortController()
    const build = runtime().images.build({ ...options, signal: stop.signal })
    for await (const progress of build) {
      if (progress.phase === 'output' && progress.line === until) stop.abort()
    }
    return (await build).id
  },
  removeImage: async (name: string) => void (await runtime().images.remove(name)),
  /** What is in a mounted image, as this very program sees it, and whether that can be written. */
  async readMounted(image: string, names: readonly string[]) {
    await using mount = await runtime().images.mount(image)
    const texts = names.map((name) => readFileSync(join(mount.path, name), 'utf8'))
    const written = await writeFile(join(mount.path, 'new'), '').catch((error: NodeJS.ErrnoException) => error.code)
    return { path: mount.path, texts, written, mounts: await runtime().images.mounts() }
  },
  mountsAfter: () => runtime().images.mounts(),
  run: (image: string, argv: readonly string[], options: RunOptions = {}) => runtime().run(image, argv, options),
  start: async (spec: ContainerSpec) => (await runtime().containers.run(spec)).id,
  exec: async (id: string, argv: readonly string[], options: ExecOptions = {}) => (await container(id)).exec(argv, options),
  inspect: async (id: string) => (await container(id)).inspect(),
  list: async () => (await runtime().containers.list()).map(({ id, status }) => ({ id, status })),
  async logs(id: string): Promise<string[]> {
    const lines: string[] = []
    for await (const { stream, text } of (await container(id)).logs()) lines.push(`${stream}: ${text}`)
    return lines
  },
  async stats(id: string): Promise<unknown> {
    for await (const sample of (await container(id)).stats()) return sample
    return undefined
  },
  pause: async (id: string) => (await container(id)).pause(),
  stop: async (id: string, options: StopOptions = {}) => (await container(id)).stop(options),
  wait: async (id: string) => (await container(id)).wait(),
  remove: async (id: string) => (await container(id)).remove({ force: true }),
  /** The user namespace of a run root alone, without a runtime. */
  async joinNamespace(runRoot: string) {
    const user = { name: process.env.USER ?? '', uid: process.getuid?.() ?? 0, gid: process.getgid?.() ?? 0 }
    const find = (name: string) => findProgram(name, { path: process.env.PATH })
    return withFileLock({ path: `${runRoot}/lock`, flock, what: 'the test' }, () => openUserNamespace({ user, runRoot, find }))
  },
  async endNamespace(runRoot: string): Promise<void> {
    endUserNamespace(runRoot)
  },
} as const

export type SessionActions = typeof ACTIONS

process.on('message', async ({ id, action, args }: SessionCall) => {
  const reply = (answer: Omit<SessionReply, 'id'>) => process.connected && process.send?.({ id, ...answer })
  try {
    const act = ACTIONS[action as keyof SessionActions] as (...args: readonly unknown[]) => Promise<unknown>
    reply({ value: await act(...args) })
  } catch (error) {
    reply({ error: toWireError(error) })
  }
})
process.once('disconnect', () => void ACTIONS.close().finally(() => process.exit()))

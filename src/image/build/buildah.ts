import { existsSync } from 'node:fs'
import { mkdir, readdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { Readable } from 'node:stream'
import { PodlibError } from '../../errors/errors.ts'
import { startAttached } from '../../host/attached-process.ts'
import { removeCgroup } from '../../host/remove-cgroup.ts'
import { flock } from '../../host/sys/libc.ts'
import type { Context } from '../../lifecycle/context.ts'
import { type FileLock, takeFileLock, tryFileLock } from '../../lock/file-lock.ts'
import { ioPath } from '../io-path.ts'
import { type BuildahFiles, writeBuildahFiles } from './buildah-files.ts'
import { buildPath } from './checks.ts'
import { lineSplitter } from './output.ts'

/** Buildah at work for one build, on the storage that all builds of a store share. */
export interface Buildah {
  /** A private directory in memory, gone with the build. */
  readonly directory: string
  readonly policy: string
  /** Makes the cgroups of `RUN` in this one. */
  readonly cgroupParent: string
  /** Runs a command of it. A code other than 0 is no error. */
  run(args: readonly string[], options?: BuildahRunOptions): Promise<BuildahExit>
}

export interface BuildahRunOptions {
  /** Without a network it has none itself: nothing in a Containerfile can bring it back. @defaultValue `'none'` */
  readonly network?: 'none' | 'host'
  readonly onLine?: (stream: 'stdout' | 'stderr', line: string) => void
}

export interface BuildahExit {
  readonly argv: readonly string[]
  readonly exitCode: number
  readonly signal: string | null
  readonly stdout: string
  readonly stderr: string
}

/** Runs `use` with Buildah, and takes away everything that must not outlive the build, however that ends. */
export async function withBuildah<Result>(
  context: Context,
  signal: AbortSignal,
  use: (buildah: Buildah) => Promise<Result>,
): Promise<Result> {
  // Looked for first: without it nothing is to be made.
  context.findProgram('buildah')
  const directory = buildPath(ioPath(context, 'build'))
  const cgroupParent = join(context.defaults.cgroupParent ?? '/podlib', `build-${directory.slice(-16)}`)
  const cache = await holdCache(context, signal)
  try {
    const place = await preparePlace(context, directory)
    try {
      await removeLeftovers(context, place, signal)
      const run: Buildah['run'] = (args, options = {}) => runBuildah(context, place, { args, signal, ...options })
      return await use({ directory, policy: place.files.policy, cgroupParent, run })
    } finally {
      // What cannot be removed now is by the next build.
      await removeLeftovers(context, place, undefined).catch(() => {})
    }
  } finally {
    await leave(context, directory, cgroupParent).finally(() => cache.release())
  }
}

async function leave(context: Context, directory: string, cgroupParent: string): Promise<void> {
  const host = await context.host()
  await host.run('remove-tree', { paths: [directory] })
  if (host.facts.makesCgroups) await removeCgroup((await context.machine()).cgroups, cgroupParent)
}

/**
 * Removes what builds have kept to be quicker the next time: their own storage, with copies of the images that they began with,
 * and the content of cache mounts. Images of the store stay.
 *
 * @throws ERR_STORE_IN_USE while something is being built
 */
export async function removeBuildCache(context: Context): Promise<void> {
  const shared = join(context.paths.root, 'buildah')
  if (!existsSync(shared)) return
  const alone = tryFileLock({ path: join(shared, 'users.lock'), flock, shared: false })
  if (alone === undefined)
    throw new PodlibError('ERR_STORE_IN_USE', 'cannot remove the build cache: a build is using it; try again when it has ended')
  try {
    await (await context.host()).run('remove-tree', { paths: [join(shared, 'storage'), join(shared, 'tmp')] })
  } finally {
    alone.release()
  }
}

/** Held from a build's first look at the storage to the last: in between it must not vanish. */
async function holdCache(context: Context, signal: AbortSignal): Promise<FileLock> {
  const shared = buildPath(context.paths.root, 'buildah')
  await mkdir(shared, { recursive: true, mode: 0o700 })
  const options = { path: join(shared, 'users.lock'), flock, shared: true }
  return takeFileLock(options, { signal, deadline: Date.now() + REMOVAL_MS, what: 'the build cache' })
}

/** A removal of the cache takes no longer. */
const REMOVAL_MS = 300_000

/** Where one build's files are, and those that all builds of a store share. */
interface Place {
  readonly directory: string
  readonly shared: string
  readonly storage: string
  readonly temporary: string
  readonly files: BuildahFiles
}

async function preparePlace(context: Context, directory: string): Promise<Place> {
  const shared = buildPath(context.paths.root, 'buildah')
  const [storage, temporary] = [join(shared, 'storage'), join(shared, 'tmp')]
  await mkdir(directory, { recursive: true, mode: 0o700 })
  const { command } = await context.ociRuntime()
  const path = command.env.PATH ?? ''
  // Each build has mounts of its own, so it counts them on its own, too: in a run root that nobody else uses.
  const files = await writeBuildahFiles(directory, { root: storage, runRoot: join(directory, 'run'), temporary, path })
  return { directory, shared, storage, temporary, files }
}

/**
 * What a build that was killed leaves: containers half-way, and files. Nobody can say of which build they are, so they are
 * removed when no other is at work; the last one does it. While a build's process lives the kernel holds its lock.
 */
async function removeLeftovers(context: Context, place: Place, signal: AbortSignal | undefined): Promise<void> {
  if (!(await hasLeftovers(place))) return
  const script = 'for p in "$0"/*; do case "$p" in */buildah-cache*) ;; *) rm -rf -- "$p";; esac; done; exec "$@"'
  const lock = ['--exclusive', '--nonblock', '--no-fork', lockFile(place), context.findProgram('sh'), '-c', script, place.temporary]
  await runBuildah(context, place, { args: ['rm', '--all'], signal, lock })
}

async function hasLeftovers({ storage, temporary }: Place): Promise<boolean> {
  const containers = await readFile(join(storage, 'overlay-containers', 'containers.json'), 'utf8').catch(() => '[]')
  if (containers.trim() !== '[]' && containers.trim() !== '') return true
  return (await readdir(temporary)).some((name) => !name.startsWith('buildah-cache'))
}

function lockFile({ shared }: Place): string {
  return join(shared, 'lock')
}

interface BuildahCall extends BuildahRunOptions {
  readonly args: readonly string[]
  readonly signal: AbortSignal | undefined
  /** How the lock is taken, with what runs Buildah then. */
  readonly lock?: readonly string[]
}

/**
 * In namespaces of mounts and processes of its own: whatever way Buildah ends, the kernel then ends all that it has started
 * and takes away all that it has mounted.
 */
const FENCE = ['--mount', '--propagation', 'slave', '--pid', '--fork', '--kill-child', '--mount-proc']

async function runBuildah(context: Context, place: Place, call: BuildahCall): Promise<BuildahExit> {
  const { args, signal, onLine, network = 'none', lock = ['--shared', '--no-fork', lockFile(place)] } = call
  const { storage, directory, files } = place
  const [setpriv, unshare, flock] = [context.findProgram('setpriv'), context.findProgram('unshare'), context.findProgram('flock')]
  const buildah = [context.findProgram('buildah'), `--root=${storage}`, `--runroot=${join(directory, 'run')}`, '--storage-driver=overlay']
  // The end of the worker, be it killed, is the end of the build.
  const argv = [
    setpriv,
    '--pdeathsig',
    'KILL',
    '--',
    unshare,
    ...FENCE,
    ...(network === 'none' ? ['--net'] : []),
    '--',
    flock,
    ...lock,
    ...buildah,
    ...args,
  ]
  const host = await context.host()
  const process = await startAttached({ directory, name: 'buildah', stdout: 'pipe', stderr: 'pipe' }, (stdio, started) =>
    host.run('stream-program', { argv, env: files.env, stdio }, { signal, onProgress: started }),
  )
  const text = { stdout: '', stderr: '' }
  const collect = (stream: 'stdout' | 'stderr') =>
    readLines(process[stream], (line) => {
      text[stream] = `${text[stream]}${line}\n`.slice(-MAX_TEXT)
      onLine?.(stream, line)
    })
  const read = Promise.all([collect('stdout'), collect('stderr')])
  const { exitCode, exitSignal } = await process.exited.finally(() => read)
  return { argv: ['buildah', ...args], exitCode, signal: exitSignal, ...text }
}

/** Of what a command writes, so much is kept for whoever called it. */
const MAX_TEXT = 8 << 20

async function readLines(stream: Readable | undefined, onLine: (line: string) => void): Promise<void> {
  const splitter = lineSplitter(onLine)
  const decoder = new TextDecoder()
  for await (const chunk of (stream ?? []) as AsyncIterable<Buffer>) splitter.write(decoder.decode(chunk, { stream: true }))
  splitter.end()
}

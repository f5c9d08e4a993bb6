import { type ChildProcess, spawn } from 'node:child_process'
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import type { Contest, Contestant } from './bench-case.ts'
import type { BenchEnvironment } from './environment.ts'
import type { FreshFilesystem } from './fresh-filesystem.ts'

const SAMPLE_MS = 20
const PULL_ONCE = fileURLToPath(new URL('pull-once.mjs', import.meta.url))

/** Both sides pull in a process of its own, whose memory is watched with that of all its children. */
export async function memoryContest(environment: BenchEnvironment, name: string): Promise<Contest> {
  const { registry } = await environment.bigImages()
  const reference = `${registry.host}/${name}`
  const podlib = watched(environment, async (path) => {
    const child = spawn(process.execPath, [PULL_ONCE, path, registry.host, reference], { stdio: 'inherit' })
    return { child, close: async () => {} }
  })
  const podman = watched(environment, async (path) => {
    const side = await environment.openPodman('crun', path)
    const child = side.spawn('pull', '--quiet', '--tls-verify=false', reference)
    return { child, close: () => side[Symbol.asyncDispose]() }
  })
  return { podlib, peer: { name: 'podman', ...podman } }
}

interface WatchedPull {
  readonly child: ChildProcess
  close(): PromiseLike<void>
}

function watched(environment: BenchEnvironment, start: (path: string) => Promise<WatchedPull>): Contestant {
  let filesystem: FreshFilesystem
  let pull: WatchedPull
  return {
    async before() {
      filesystem = await environment.freshFilesystem()
    },
    async measure() {
      pull = await start(filesystem.path)
      return peakMemory(pull.child)
    },
    async after() {
      await pull.close()
      await filesystem[Symbol.asyncDispose]()
    },
  }
}

/** The most memory that a process and its descendants held together, in MB, shared pages counted once (PSS). */
function peakMemory(child: ChildProcess): Promise<number> {
  return new Promise((resolve, reject) => {
    let peak = 0
    const timer = setInterval(() => {
      peak = Math.max(peak, memoryOfTree(child.pid ?? 0))
    }, SAMPLE_MS)
    child.once('error', reject)
    child.once('exit', (code) => {
      clearInterval(timer)
      if (code === 0) resolve(peak / 1e6)
      else reject(new Error(`the pull ended with ${code}`))
    })
  })
}

function memoryOfTree(pid: number): number {
  const children = new Map<number, number[]>()
  for (const name of readdirSync('/proc').filter((entry) => /^\d+$/.test(entry))) {
    const stat = read(`/proc/${name}/stat`)
    const parent = Number(stat.slice(stat.lastIndexOf(')') + 4).split(' ')[0])
    children.set(parent, [...(children.get(parent) ?? []), Number(name)])
  }
  const sum = (id: number): number => memoryOf(id) + (children.get(id) ?? []).reduce((total, next) => total + sum(next), 0)
  return sum(pid)
}

function memoryOf(pid: number): number {
  const kilobytes = /^Pss:\s+(\d+) kB/m.exec(read(join('/proc', String(pid), 'smaps_rollup')))?.[1]
  return Number(kilobytes ?? 0) * 1024
}

function read(path: string): string {
  try {
    return readFileSync(path, 'utf8')
  } catch {
    return ''
  }
}

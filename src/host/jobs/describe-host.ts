import { existsSync, readdirSync, readFileSync, statfsSync } from 'node:fs'
import { arch, release } from 'node:os'
import { type IdRange, isMapped, mapsEverything, parseIdMap } from '../id-map.ts'

/** What this machine, as the worker sees it, lets a container have. */
export interface HostDescription {
  readonly cgroupVersion: 1 | 2
  /** In v2 words: `memory`, `cpu`, `cpuset`, `pids`, `io`, `devices`. Empty when the worker may not make cgroups. */
  readonly cgroupControllers: readonly string[]
  readonly swapLimit: boolean
  /** The `CapBnd` mask of proc_pid_status(5), hexadecimal. */
  readonly boundingCapabilities: string
  /** By name (`RLIMIT_NOFILE`); an unlimited one is left out. */
  readonly hardRlimits: Readonly<Record<string, number>>
  readonly currentOomScoreAdj: number
  readonly canLowerOomScoreAdj: boolean
  /** The ids of the worker's user namespace. */
  readonly uids: readonly IdRange[]
  readonly gids: readonly IdRange[]
  readonly ttyGidMapped: boolean
  readonly canCreateDeviceNodes: boolean
  readonly ownsHostNamespaces: boolean
  /** Whether /dev/mqueue is there. */
  readonly hasMessageQueues: boolean
  /** As Go names it. */
  readonly architecture: string
  readonly kernelVersion: string
  readonly thermalThrottlePaths: readonly string[]
}

const CGROUP2_SUPER_MAGIC = 0x63677270
const CAP_SYS_RESOURCE = 24n
const TTY_GROUP = 5
const GO_ARCHITECTURES: Readonly<Record<string, string>> = {
  x64: 'amd64',
  ia32: '386',
  arm64: 'arm64',
  arm: 'arm',
  ppc64: 'ppc64le',
  s390x: 's390x',
  riscv64: 'riscv64',
  loong64: 'loong64',
}

export function describeHost(): HostDescription {
  const status = readFileSync('/proc/self/status', 'utf8')
  const capabilities = /^CapBnd:\s*([0-9a-f]+)/m.exec(status)?.[1] ?? '0'
  const [uids, gids] = ['uid_map', 'gid_map'].map((file) => parseIdMap(readFileSync(`/proc/self/${file}`, 'utf8'))) as [
    IdRange[],
    IdRange[],
  ]
  const initialNamespace = mapsEverything(uids)
  const unified = statfsSync('/sys/fs/cgroup').type === CGROUP2_SUPER_MAGIC
  return {
    cgroupVersion: unified ? 2 : 1,
    cgroupControllers: initialNamespace ? controllers(unified) : [],
    swapLimit: countsSwap(unified),
    boundingCapabilities: capabilities,
    hardRlimits: hardRlimits(readFileSync('/proc/self/limits', 'utf8')),
    currentOomScoreAdj: Number(readFileSync('/proc/self/oom_score_adj', 'utf8')),
    canLowerOomScoreAdj: initialNamespace && (BigInt(`0x${capabilities}`) & (1n << CAP_SYS_RESOURCE)) !== 0n,
    uids,
    gids,
    ttyGidMapped: isMapped(TTY_GROUP, gids),
    canCreateDeviceNodes: initialNamespace,
    ownsHostNamespaces: initialNamespace,
    hasMessageQueues: existsSync('/dev/mqueue'),
    architecture: GO_ARCHITECTURES[arch()] ?? arch(),
    kernelVersion: release(),
    thermalThrottlePaths: thermalThrottlePaths(),
  }
}

const V1_NAMES: Readonly<Record<string, string>> = {
  blkio: 'io',
  cpu: 'cpu',
  cpuset: 'cpuset',
  memory: 'memory',
  pids: 'pids',
  devices: 'devices',
}

function controllers(unified: boolean): string[] {
  if (unified) return [...readFileSync('/sys/fs/cgroup/cgroup.controllers', 'utf8').trim().split(' '), 'devices']
  return readdirSync('/sys/fs/cgroup').flatMap((directory) => directory.split(',').flatMap((name) => V1_NAMES[name] ?? []))
}

function countsSwap(unified: boolean): boolean {
  // The root group of v2 has no limit files; its children show whether the kernel counts swap.
  return unified ? childCountsSwap() : existsSync('/sys/fs/cgroup/memory/memory.memsw.limit_in_bytes')
}

function childCountsSwap(): boolean {
  return readdirSync('/sys/fs/cgroup', { withFileTypes: true }).some(
    (entry) => entry.isDirectory() && existsSync(`/sys/fs/cgroup/${entry.name}/memory.swap.max`),
  )
}

const LIMIT_NAMES: Readonly<Record<string, string>> = {
  'Max cpu time': 'RLIMIT_CPU',
  'Max file size': 'RLIMIT_FSIZE',
  'Max data size': 'RLIMIT_DATA',
  'Max stack size': 'RLIMIT_STACK',
  'Max core file size': 'RLIMIT_CORE',
  'Max resident set': 'RLIMIT_RSS',
  'Max processes': 'RLIMIT_NPROC',
  'Max open files': 'RLIMIT_NOFILE',
  'Max locked memory': 'RLIMIT_MEMLOCK',
  'Max address space': 'RLIMIT_AS',
  'Max file locks': 'RLIMIT_LOCKS',
  'Max pending signals': 'RLIMIT_SIGPENDING',
  'Max msgqueue size': 'RLIMIT_MSGQUEUE',
  'Max nice priority': 'RLIMIT_NICE',
  'Max realtime priority': 'RLIMIT_RTPRIO',
  'Max realtime timeout': 'RLIMIT_RTTIME',
}

/** @see proc_pid_limits(5) */
function hardRlimits(text: string): Record<string, number> {
  const limits: Record<string, number> = {}
  for (const line of text.split('\n')) {
    const [, label, , hard] = /^(Max [a-z ]+?)\s{2,}(\S+)\s+(\S+)/.exec(line) ?? []
    const name = label && LIMIT_NAMES[label]
    if (name && hard !== 'unlimited') limits[name] = Number(hard)
  }
  return limits
}

function thermalThrottlePaths(): string[] {
  const root = '/sys/devices/system/cpu'
  return readdirSync(root)
    .filter((name) => /^cpu\d+$/.test(name))
    .map((name) => `${root}/${name}/thermal_throttle`)
    .filter((path) => existsSync(path))
}

import type { SpecDevice } from '../spec/runtime.ts'

/**
 * What the host lets a container have. These are facts and not "rootless or not": whoever has looked fills them in, and
 * the generator draws the same conclusions for everybody.
 */
export interface HostFacts {
  readonly cgroupVersion: 1 | 2
  /** Controllers that a container's cgroup will have, in v2 words (`memory`, `cpu`, `cpuset`, `pids`, `io`, `devices`). */
  readonly cgroupControllers: readonly string[]
  /** Whether the kernel counts swap; without it a swap limit fails the start. */
  readonly swapLimit: boolean
  /** Capabilities that the process which starts the OCI runtime can hand on. */
  readonly boundingCapabilities: readonly string[]
  /** By name (`RLIMIT_NOFILE`); unlimited is {@link RLIM_INFINITY}. A missing one is unlimited. */
  readonly hardRlimits: Readonly<Record<string, number>>
  readonly currentOomScoreAdj: number
  /** Whether this process holds CAP_SYS_RESOURCE in the first user namespace, which raising a hard rlimit needs too. */
  readonly canLowerOomScoreAdj: boolean
  /** The ids that exist in the user namespace that the container starts in. */
  readonly uids: readonly MappedIds[]
  readonly gids: readonly MappedIds[]
  /** Whether group 5 (tty) exists in the user namespace that the container starts in. */
  readonly ttyGidMapped: boolean
  /** False where mknod is forbidden: devices are bind mounted then, and the devices controller is left alone. */
  readonly canCreateDeviceNodes: boolean
  /** Whether this process owns its network, IPC and PID namespaces, so that sysfs, mqueue and proc can be mounted for them. */
  readonly ownsHostNamespaces: boolean
  /** Whether the host itself has /dev/mqueue mounted. */
  readonly hasMessageQueues: boolean
  /** As Go names it: `amd64`, `arm64`. */
  readonly architecture: string
  /** As uname(2) gives it: `6.18.44-generic`. */
  readonly kernelVersion: string
  /** /sys/devices/system/cpu/cpu0/thermal_throttle and its like, as far as they exist. */
  readonly thermalThrottlePaths: readonly string[]
}

/** A range of ids that exist in a user namespace. */
export interface MappedIds {
  /** The first, as seen inside. */
  readonly inside: number
  readonly size: number
}

/** A device node of the host. */
export interface HostDeviceNode extends SpecDevice {
  readonly type: 'b' | 'c'
  readonly major: number
  readonly minor: number
}

/** Who a process runs as: names are resolved. */
export interface Identity {
  readonly uid: number
  readonly gid: number
  /** Always holds `gid`. */
  readonly additionalGids: readonly number[]
  readonly home: string
}

/** Host paths of what podlib prepares for a container; `null` leaves one out. */
export interface ContainerFiles {
  readonly hosts: string | null
  readonly resolvConf: string | null
  readonly hostname: string | null
  readonly containerenv: string | null
  /** A tmpfs to be /dev/shm. */
  readonly shm: string | null
  /** The init program, for containers that want one. */
  readonly init: string | null
  /** Volume directories by mount target. */
  readonly volumes: Readonly<Record<string, string>>
}

/**
 * A size: bytes as a number, or text with a binary unit (`'256m'`, `'1.5g'`, `'64KiB'`).
 * @public
 */
export type Size = number | string

/**
 * A time: milliseconds as a number, or text with units (`'30s'`, `'1m30s'`, `'250ms'`).
 * @public
 */
export type Duration = number | string

/** A host directory or file shown in the container. @public */
export interface BindMountOptions {
  readonly type: 'bind'
  /** Absolute host path. It must exist when the container starts. */
  readonly source: string
  /** Absolute path in the container; created if missing. */
  readonly target: string
  /** @defaultValue false */
  readonly readOnly?: boolean
  /** Also show what is mounted below `source`. @defaultValue true */
  readonly recursive?: boolean
  /** How mounts made later travel between host and container. @defaultValue 'rprivate' */
  readonly propagation?: 'private' | 'rprivate' | 'slave' | 'rslave' | 'shared' | 'rshared'
  /** Further mount flags. @defaultValue [] */
  readonly options?: readonly MountFlag[]
}

/** An empty file system in memory, gone with the container. @public */
export interface TmpfsMountOptions {
  readonly type: 'tmpfs'
  readonly target: string
  /** @defaultValue half of the memory of the host, the kernel's own limit */
  readonly size?: Size
  /** Octal text. @defaultValue '1777' */
  readonly mode?: string
  /** @defaultValue false */
  readonly readOnly?: boolean
  /** Start with a copy of what the image has there. @defaultValue true */
  readonly copyUp?: boolean
  /** Mount flags beside `nosuid` and `nodev`. @defaultValue [] */
  readonly options?: readonly MountFlag[]
}

/** A volume; without a name it is made for this container and removed with it. Refused yet: there are no volumes. @public */
export interface VolumeMountOptions {
  readonly type: 'volume'
  /** Name of the volume. @defaultValue an anonymous volume */
  readonly name?: string
  readonly target: string
  /** @defaultValue false */
  readonly readOnly?: boolean
  /** Fill an empty volume with what the image has at `target`. @defaultValue true */
  readonly copyUp?: boolean
  readonly options?: readonly MountFlag[]
}

/** @public */
export type MountOptions = BindMountOptions | TmpfsMountOptions | VolumeMountOptions

/** @public */
export type MountFlag = 'exec' | 'noexec' | 'suid' | 'nosuid' | 'dev' | 'nodev' | 'noatime' | 'relatime' | 'sync' | 'nosymfollow'

/** A namespace of its own, the host's, one at a path, or that of another container (by id; refused yet). @public */
export type NamespaceMode = 'private' | 'host' | { readonly path: string } | { readonly container: string }

/** `none` is a network namespace with nothing but loopback. @public */
export type NetworkOption = 'none' | 'host' | { readonly path: string } | { readonly container: string }

/** One range of user or group ids. @public */
export interface IdRange {
  readonly containerId: number
  readonly hostId: number
  readonly size: number
}

/** @public */
export type UserNamespaceOption =
  | 'host'
  | { readonly path: string }
  | { readonly container: string }
  | { readonly uids: readonly IdRange[]; readonly gids: readonly IdRange[] }

/** @public */
export interface DeviceOptions {
  /** Device node or directory of nodes on the host. */
  readonly path: string
  /** @defaultValue the same path */
  readonly containerPath?: string
  /** `r`ead, `w`rite, `m`knod. @defaultValue 'rwm' */
  readonly permissions?: string
}

/** How a container tells that it works. @public */
export interface HealthcheckOptions {
  /** A shell line, or a program and its arguments. */
  readonly command: string | readonly string[]
  /** Time between two checks. @defaultValue '30s' */
  readonly interval?: Duration
  /** @defaultValue '30s' */
  readonly timeout?: Duration
  /** Failures during this time after the start do not count. @defaultValue 0 */
  readonly startPeriod?: Duration
  /** Failures in a row that make the container unhealthy. @defaultValue 3 */
  readonly retries?: number
}

/** Limits of what a container may use. @public */
export interface ResourceOptions {
  /** Hard memory limit. @defaultValue unlimited */
  readonly memory?: Size
  /** Memory guaranteed under pressure; below `memory`. @defaultValue none */
  readonly memoryReservation?: Size
  /** Memory and swap together; needs `memory`. @defaultValue twice `memory` */
  readonly memorySwap?: Size | 'unlimited'
  /** CPUs, in fractions: `0.5` is half of one. @defaultValue unlimited */
  readonly cpus?: number
  /** Weight against others when CPUs are scarce, 2 to 262144. @defaultValue the kernel's 1024 */
  readonly cpuShares?: number
  /** CPUs to run on: `'0-2,5'`. @defaultValue all */
  readonly cpusetCpus?: string
  /** Memory nodes to use: `'0'`. @defaultValue all */
  readonly cpusetMems?: string
  /** Processes and threads. @defaultValue 2048 */
  readonly pidsLimit?: number | 'unlimited'
  /** Block I/O weight, 10 to 1000. @defaultValue the kernel's */
  readonly blkioWeight?: number
  /** Files of cgroup v2 set as they are: `{ 'memory.high': '100M' }`. @defaultValue \{\} */
  readonly unified?: Readonly<Record<string, string>>
}

/** What a container may do. The default is a container without power over the host. @public */
export interface SecurityOptions {
  /** Every capability and device of the host, no seccomp, nothing masked. @defaultValue false */
  readonly privileged?: boolean
  /** Capabilities beside the default ones, with or without `CAP_`, or `'ALL'`. @defaultValue [] */
  readonly capAdd?: readonly string[]
  /** Default capabilities to take away, or `'ALL'`. @defaultValue [] */
  readonly capDrop?: readonly string[]
  /** Programs cannot gain rights by setuid bits or file capabilities. @defaultValue false */
  readonly noNewPrivileges?: boolean
  /** `'default'`, `'unconfined'`, or the absolute path of a profile in Docker's format. @defaultValue 'default' */
  readonly seccomp?: string
  /** Paths to hide beside the default ones. @defaultValue [] */
  readonly maskedPaths?: readonly string[]
  /** Default masked or read-only paths to open again, with a `*` at the end for all below, or `'all'`. @defaultValue [] */
  readonly unmaskedPaths?: readonly string[] | 'all'
  /** Only sysctls of the container's own namespaces. @defaultValue \{\} */
  readonly sysctls?: Readonly<Record<string, string>>
  /** Host devices to pass in. @defaultValue [] */
  readonly devices?: readonly (string | DeviceOptions)[]
}

/** What runs in a container. @public */
export interface ProcessOptions {
  /** Arguments after the entrypoint. @defaultValue the image's Cmd, unless `entrypoint` is given */
  readonly command?: readonly string[]
  /** The program, which also drops the image's Cmd; `''` drops the image's entrypoint. @defaultValue the image's */
  readonly entrypoint?: string | readonly string[]
  /** Added to, and winning over, the image's. @defaultValue \{\} */
  readonly env?: Readonly<Record<string, string>> | readonly string[]
  /** Names of the image's variables to leave out. @defaultValue [] */
  readonly unsetEnv?: readonly string[]
  /** Absolute working directory. @defaultValue the image's, or `/` */
  readonly cwd?: string
  /** `name`, `uid`, `name:group` or `uid:gid`; names are those of the image. @defaultValue the image's, or root */
  readonly user?: string
  /** Supplementary groups beside those of the user, names or ids. @defaultValue [] */
  readonly groups?: readonly (string | number)[]
  /** Give it a terminal, which goes to the log: nothing can be typed into it yet. @defaultValue false */
  readonly tty?: boolean
  /** Keep standard input open, with nothing to be read from it yet. Without, it is at its end. @defaultValue false */
  readonly stdin?: boolean
  /** Octal text. @defaultValue '0022' */
  readonly umask?: string
  /** By name without `RLIMIT_`: `{ nofile: 1024, core: { soft: 0, hard: 'unlimited' } }`. @defaultValue \{\} */
  readonly ulimits?: Readonly<Record<string, UlimitValue | { readonly soft: UlimitValue; readonly hard: UlimitValue }>>
  /** Preference of the kernel's out-of-memory killer, -1000 to 1000. @defaultValue that of podlib's own process */
  readonly oomScoreAdj?: number
  /** Run a small init as process 1 that reaps orphans. @defaultValue false */
  readonly init?: boolean
  /** Signal that asks it to end: name or number. @defaultValue the image's, or SIGTERM */
  readonly stopSignal?: string | number
  /** Time between that signal and SIGKILL. @defaultValue '10s' */
  readonly stopTimeout?: Duration
}

/** @public */
export type UlimitValue = number | 'unlimited'

/** What a container shares with others. @public */
export interface IsolationOptions {
  /** @defaultValue that of the runtime */
  readonly network?: NetworkOption
  /** @defaultValue 'private' */
  readonly pid?: NamespaceMode
  /** `none` also leaves out /dev/shm. @defaultValue 'private' */
  readonly ipc?: NamespaceMode | 'none'
  /** @defaultValue 'private' */
  readonly uts?: NamespaceMode
  /** @defaultValue 'private' on cgroup v2, 'host' on v1 */
  readonly cgroup?: NamespaceMode
  /** @defaultValue 'host' */
  readonly userNamespace?: UserNamespaceOption
  /** @defaultValue the first 12 characters of the id */
  readonly hostname?: string
  /** Lines for /etc/hosts, name to address. @defaultValue \{\} */
  readonly extraHosts?: Readonly<Record<string, string>>
  /** For /etc/resolv.conf. @defaultValue the host's */
  readonly dns?: { readonly servers?: readonly string[]; readonly search?: readonly string[]; readonly options?: readonly string[] }
}

/**
 * Everything that can be said about a container when it is created. Every field is optional; the image fills the gaps
 * and then podlib's defaults.
 *
 * @public
 */
export interface CreateContainerOptions extends ProcessOptions, IsolationOptions, SecurityOptions, ResourceOptions {
  /** Unique name: letters, digits, `_`, `.` and `-`. @defaultValue the first 12 characters of the id */
  readonly name?: string
  /** For your own use and for finding containers. The image's are added below. @defaultValue \{\} */
  readonly labels?: Readonly<Record<string, string>>
  /** Passed to the OCI runtime and to hooks. Never taken from an image. @defaultValue \{\} */
  readonly annotations?: Readonly<Record<string, string>>
  /** Root file system that cannot be written. @defaultValue false */
  readonly readOnly?: boolean
  /** With `readOnly`: memory file systems on /run, /tmp and /var/tmp. @defaultValue true */
  readonly readWriteTmpfs?: boolean
  /** @defaultValue [] */
  readonly mounts?: readonly MountOptions[]
  /** What the image's volumes become; `'ignore'` leaves their files in the container's own. `'anonymous'` is refused yet. @defaultValue 'ignore' */
  readonly imageVolumes?: 'anonymous' | 'tmpfs' | 'ignore'
  /** Size of /dev/shm; 0 is unlimited. @defaultValue '64m' */
  readonly shmSize?: Size
  /** cgroup (or systemd slice) that the container's cgroup is made in. @defaultValue that of the runtime */
  readonly cgroupParent?: string
  /** `'json-file'` and `'journald'` are refused yet. @defaultValue that of the runtime */
  readonly logDriver?: 'k8s-file' | 'json-file' | 'journald' | 'none'
  /** Size at which the log begins anew: what was written before is gone then. @defaultValue unlimited */
  readonly logMaxSize?: Size
  /** Remove the container when it ends. @defaultValue false */
  readonly ephemeral?: boolean
  /** When to start it again: `'on-failure:3'` gives up after three times. All but `'no'` is refused yet. @defaultValue 'no' */
  readonly restart?: 'no' | 'always' | 'unless-stopped' | 'on-failure' | `on-failure:${number}`
  /** `false` ignores the image's. A check of your own is refused yet, and that of an image is not run. @defaultValue the image's */
  readonly healthcheck?: HealthcheckOptions | false
}

import { accessSync, constants, existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'

/** Debian's golang-github-opencontainers-specs-dev. */
export const RUNTIME_SPEC_SCHEMAS = '/usr/share/gocode/src/github.com/opencontainers/runtime-spec/schema'

/** Of Debian's golang-github-containers-common. */
export const SECCOMP_PROFILE = '/usr/share/containers/seccomp.json'

/** What a test may need of the machine and the machine may lack, with how to find out. */
const ABILITIES = {
  root: () => process.getuid?.() === 0,
  newuidmap: () => hasProgram('newuidmap') && hasProgram('newgidmap'),
  CAP_SYS_RESOURCE: () => hasCapability(24),
  'cgroup v2': () => existsSync('/sys/fs/cgroup/cgroup.controllers'),
  'cgroup v1': () => existsSync('/sys/fs/cgroup/memory/tasks'),
  'user namespaces': () => readText('/proc/sys/user/max_user_namespaces').trim() !== '0',
  cachestat: () => kernelIsAtLeast(6, 5),
  'overlay in user namespaces': () => kernelIsAtLeast(5, 11),
  crun: () => hasProgram('crun'),
  runc: () => hasProgram('runc'),
  conmon: () => hasProgram('conmon'),
  podman: () => hasProgram('podman'),
  skopeo: () => hasProgram('skopeo'),
  buildah: () => hasProgram('buildah'),
  umoci: () => hasProgram('umoci'),
  gpg: () => hasProgram('gpg'),
  zstd: () => hasProgram('zstd'),
  mmdebstrap: () => hasProgram('mmdebstrap'),
  'docker-registry': () => hasProgram('docker-registry'),
  netavark: () => ['/usr/lib/podman/netavark', '/usr/libexec/podman/netavark'].some((path) => existsSync(path)),
  CNI: () => ['/usr/lib/cni/bridge', '/opt/cni/bin/bridge', '/usr/libexec/cni/bridge'].some((path) => existsSync(path)),
  pasta: () => hasProgram('pasta'),
  slirp4netns: () => hasProgram('slirp4netns'),
  'seccomp profile of containers-common': () => existsSync(SECCOMP_PROFILE),
  'schemas of the runtime specification': () => existsSync(RUNTIME_SPEC_SCHEMAS),
} as const satisfies Record<string, () => boolean>

export type Ability = keyof typeof ABILITIES

/** The abilities that this machine lacks. */
export function missingAbilities(): Ability[] {
  return lacking(Object.keys(ABILITIES) as Ability[])
}

/** Those of `needs` that this machine lacks. */
export function lacking(needs: readonly Ability[]): Ability[] {
  return needs.filter((need) => !ABILITIES[need]())
}

function hasProgram(name: string): boolean {
  const directories = [...(process.env.PATH ?? '').split(':'), '/usr/local/sbin', '/usr/sbin', '/sbin']
  return directories.some((directory) => {
    try {
      accessSync(join(directory, name), constants.X_OK)
      return true
    } catch {
      return false
    }
  })
}

function hasCapability(bit: number): boolean {
  const effective = /^CapEff:\s*([0-9a-f]+)/m.exec(readText('/proc/self/status'))?.[1] ?? '0'
  return ((BigInt(`0x${effective}`) >> BigInt(bit)) & 1n) === 1n
}

function kernelIsAtLeast(major: number, minor: number): boolean {
  const [first = 0, second = 0] = readText('/proc/sys/kernel/osrelease').split('.').map(Number)
  return first > major || (first === major && second >= minor)
}

function readText(path: string): string {
  try {
    return readFileSync(path, 'utf8')
  } catch {
    return ''
  }
}

import { existsSync, readdirSync, readFileSync, readlinkSync } from 'node:fs'
import { homedir } from 'node:os'
import { join } from 'node:path'

/** Something that a test could leave behind. Two traces with the same `kind` and `id` are the same thing. */
export interface Trace {
  readonly kind: 'mount' | 'network namespace' | 'network device' | 'loop device' | 'cgroup' | 'process' | 'lock' | 'file'
  readonly id: string
  /** Everything that is known about it; also what tells whose it is. */
  readonly label: string
  /** It bears a mark of this very run. */
  readonly marked?: boolean
}

/** Who else uses the machine: nobody, others but not podlib, or others who test podlib too. */
export type Company = 'alone' | 'strangers' | 'testers'

/** What the caller of {@link readMachine} calls its own: a mark in the environment and the directory of temporary files. */
export interface TestRun {
  /** `NAME=value`, inherited by whatever a test starts. */
  readonly environmentMark: string
  readonly directory: string
}

const CGROUP_ROOT = '/sys/fs/cgroup'
const WATCHED_DIRECTORIES = [
  '/run/podlib',
  '/var/lib/podlib',
  '/run/netns',
  '/etc/containers',
  '/etc/cni/net.d',
  '/run/containers',
  '/var/lib/containers',
  '/dev/shm',
  '/tmp',
  '/var/tmp',
  '/run',
  '/run/crun',
  '/run/runc',
  join(homedir(), '.config/containers'),
  join(homedir(), '.local/share'),
  join(homedir(), '.docker'),
  '.',
]
/** Made by the run on purpose: build output, coverage, the cache of jest. */
const EXPECTED_FILES = /^\.\/(coverage|dist|temp|docs|node_modules|\.git)$/
/** Programs that a container library starts; seeing a new one after the tests means that a test forgot it. */
const CONTAINER_PROGRAMS =
  /^(podlib-worker|podlib|conmon|crun|runc|catatonit|podman|buildah|skopeo|docker-registry|netavark|aardvark-dns|pasta|pasta\.avx2|slirp4netns|gpg-agent)$/

/** Everything on the machine that the tests must leave as they found it. */
export function readMachine(run: TestRun): Trace[] {
  const processes = readProcesses(run)
  return [...mounts(), ...networkDevices(), ...loopDevices(), ...cgroups(), ...processes, ...locks(processes), ...files(run)]
}

/** Whether it is certain that a trace is of this run. */
export function isCertain({ label, marked }: Trace, run: TestRun): boolean {
  return marked === true || label.includes(run.directory)
}

/** What is there now and was not before, as far as it can be of this run. */
export function leftBehind(before: readonly Trace[], after: readonly Trace[], run: TestRun, company: Company): Trace[] {
  const known = new Set(before.map(key))
  const isOurs = (trace: Trace): boolean => {
    if (company === 'alone' || isCertain(trace, run)) return true
    return company === 'strangers' && (trace.kind === 'process' || trace.kind === 'lock' || /podlib|libpod/.test(trace.label))
  }
  return after.filter((trace) => !known.has(key(trace)) && isOurs(trace))
}

// Made once and kept for ever: by `ip netns add`, by crun, runc, podman and Buildah at their first use, and by the tests that
// need a Debian. What is in them is looked at like anywhere else.
const EXPECTED_PLACES = new Set([
  '/run/crun',
  '/run/runc',
  '/var/lib/containers/cache',
  '/run/netns',
  '/etc/containers/networks',
  '/run/containers',
  '/run/containers/networks',
  '/dev/shm/libpod_lock',
  '/var/tmp/podlib-test-images',
])

const key = ({ kind, id }: Trace) => `${kind} ${id}`

function mounts(): Trace[] {
  return lines('/proc/self/mountinfo').flatMap((line): Trace[] => {
    const [id = '', , , root = '', target = ''] = line.split(' ')
    if (EXPECTED_PLACES.has(target)) return []
    const network = line.includes(' - nsfs ') && root.startsWith('net:')
    const kind = network ? 'network namespace' : 'mount'
    return [{ kind, id: `${id} ${target}`, label: `${target} (${line.slice(line.indexOf(' - ') + 3)})` }]
  })
}

function networkDevices(): Trace[] {
  return names('/sys/class/net').map((name) => ({ kind: 'network device', id: name, label: name }))
}

function loopDevices(): Trace[] {
  const backed = names('/sys/block').filter((name) => name.startsWith('loop') && existsSync(`/sys/block/${name}/loop/backing_file`))
  return backed.map((name) => {
    const file = read(`/sys/block/${name}/loop/backing_file`).trim()
    return { kind: 'loop device', id: `${name} ${file}`, label: `/dev/${name} on ${file}` }
  })
}

function cgroups(directory = CGROUP_ROOT): Trace[] {
  return directories(directory).flatMap((name): Trace[] => {
    const path = join(directory, name)
    return [{ kind: 'cgroup', id: path, label: path }, ...cgroups(path)]
  })
}

/** Processes that could be a test's: they inherited the mark, work in its directory, or are helpers of a container library. */
function readProcesses(run: TestRun): Trace[] {
  const ids = names('/proc').filter((name) => /^\d+$/.test(name) && Number(name) !== process.pid)
  return ids.flatMap((id) => describeProcess(id, run) ?? [])
}

function describeProcess(id: string, run: TestRun): Trace | undefined {
  const stat = read(`/proc/${id}/stat`)
  const afterName = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
  const name = stat.slice(stat.indexOf('(') + 1, stat.lastIndexOf(')'))
  // A zombie holds nothing; it is gone when its parent looks.
  if (stat === '' || afterName[0] === 'Z') return undefined
  const argv = read(`/proc/${id}/cmdline`).split('\0').join(' ').trim()
  const places = ['cwd', 'root', 'exe'].map((link) => readLink(`/proc/${id}/${link}`))
  const marked = read(`/proc/${id}/environ`).split('\0').includes(run.environmentMark)
  const grouped = /podlib|libpod/.test(read(`/proc/${id}/cgroup`))
  const placed = [argv, ...places].some((text) => text.includes(run.directory))
  if (!marked && !grouped && !placed && !CONTAINER_PROGRAMS.test(name)) return undefined
  return { kind: 'process', id: `${id} ${afterName[19]}`, label: `${id} ${argv || `[${name}]`}`, marked: marked || placed }
}

/** File locks that processes of the tests hold. */
function locks(processes: readonly Trace[]): Trace[] {
  const owners = new Set(processes.map(({ id }) => id.split(' ')[0]))
  const held = lines('/proc/locks').map((line) => line.replace(/^\d+:\s+/, '').split(/\s+/))
  return held
    .filter(([, , , pid]) => owners.has(pid))
    .map((fields) => ({ kind: 'lock', id: fields.slice(0, 5).join(' '), label: `${fields[0]} lock of process ${fields[3]}` }))
}

function files(run: TestRun): Trace[] {
  return WATCHED_DIRECTORIES.flatMap((directory) =>
    names(directory)
      .map((name) => (directory === '.' ? `./${name}` : join(directory, name)))
      .filter((path) => path !== run.directory && !EXPECTED_FILES.test(path) && !EXPECTED_PLACES.has(path))
      .map((path): Trace => ({ kind: 'file', id: path, label: path })),
  )
}

function read(path: string): string {
  try {
    return readFileSync(path, 'utf8')
  } catch {
    return ''
  }
}

function readLink(path: string): string {
  try {
    return readlinkSync(path)
  } catch {
    return ''
  }
}

const lines = (path: string) => read(path).split('\n').filter(Boolean)

function names(directory: string): string[] {
  try {
    return readdirSync(directory)
  } catch {
    return []
  }
}

function directories(path: string): string[] {
  try {
    return readdirSync(path, { withFileTypes: true })
      .filter((entry) => entry.isDirectory())
      .map(({ name }) => name)
  } catch {
    return []
  }
}

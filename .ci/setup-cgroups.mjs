// On hosts with cgroup v1, crun 1.8 puts a container into every hierarchy that the kernel has enabled and that it knows,
// and fails when one is not mounted. systemd mounts them all; a small VM may not.
import { spawnSync } from 'node:child_process'
import { mkdirSync, readFileSync } from 'node:fs'

const ROOT = '/sys/fs/cgroup'
const EXPECTED_BY_CRUN = ['hugetlb']

export function mountMissingCgroups(say) {
  if (process.getuid() !== 0) return
  const mounts = readFileSync('/proc/self/mountinfo', 'utf8')
  if (!/ - cgroup /.test(mounts)) return
  const enabled = readFileSync('/proc/cgroups', 'utf8')
    .split('\n')
    .map((line) => line.split('\t'))
    .filter((fields) => fields[3] === '1')
  for (const controller of EXPECTED_BY_CRUN) {
    if (!enabled.some(([name]) => name === controller)) continue
    if (new RegExp(` - cgroup [^\\n]*[ ,]${controller}(,|$)`, 'm').test(mounts)) continue
    mount(controller, say)
  }
}

function mount(controller, say) {
  const target = `${ROOT}/${controller}`
  say(`mounting the cgroup hierarchy '${controller}' at ${target}, without which crun starts no container here`)
  try {
    mkdirSync(target, { recursive: true })
  } catch (error) {
    say(`cannot make ${target}: ${error.message}`)
    return
  }
  const { status, stderr } = spawnSync('mount', ['-t', 'cgroup', '-o', controller, 'cgroup', target], { encoding: 'utf8' })
  if (status !== 0) say(`cannot mount it: ${stderr.trim()}`)
}

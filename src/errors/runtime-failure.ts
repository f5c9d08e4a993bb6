import type { PodlibErrorCode } from './codes.ts'
import { type FailedProgram, PodlibError } from './errors.ts'

/** What crun mends only when told how: on hosts with both cgroup versions the unified one may have no controller of its own. */
const HYBRID_ADVICE =
  'this host has cgroup v1 and v2 mounted side by side and leaves controllers to v2, which crun refuses; give them to v1, usually with: ' +
  'mkdir /sys/fs/cgroup/hugetlb && mount -t cgroup -o hugetlb hugetlb /sys/fs/cgroup/hugetlb'

/** First match wins. crun and runc word the same failure differently. */
const PATTERNS: readonly (readonly [RegExp, PodlibErrorCode])[] = [
  [/hybrid mode/i, 'ERR_CGROUP_LAYOUT'],
  [
    /container does not exist|error opening file .*\/status`: no such file|cannot open directory .*: no such file/i,
    'ERR_OCI_CONTAINER_NOT_FOUND',
  ],
  [/already exists/i, 'ERR_CONTAINER_EXISTS'],
  [
    /not running|already running|not paused|paused state|not stopped|stopped container|has stopped|`(created|stopped)` state|no such process|exec\.fifo/i,
    'ERR_CONTAINER_STATE',
  ],
  [/executable file .*not found|exec:? .*no such file or directory|exec container process .*no such file/i, 'ERR_OCI_COMMAND_NOT_FOUND'],
  [/permission denied|operation not permitted|exec format error/i, 'ERR_OCI_RUNTIME_PERMISSION'],
]

/** crun's parent process says no more than this of what its child, before it or after it, gives the reason for. */
const NO_REASON = 'fail startup'

/** The error message in what an OCI runtime wrote with `--log-format=json`: that of the last record at level `error`, else the text itself. */
export function runtimeMessage(text: string): string {
  const lines = text.trim().split('\n')
  const messages = lines.map(errorMessage).filter((message) => message !== undefined)
  return messages.findLast((message) => message !== NO_REASON) ?? messages.at(-1) ?? lines.at(-1)?.trim() ?? ''
}

function errorMessage(line: string): string | undefined {
  try {
    const record = JSON.parse(line)
    return record?.level === 'error' && typeof record.msg === 'string' ? record.msg : undefined
  } catch {
    return undefined
  }
}

/** What failed, and what the runtime said about it. */
export interface RuntimeFailure {
  /** What was tried: `create the container abc`. */
  readonly attempt: string
  /** Log or standard error of the runtime. */
  readonly log: string
  readonly program?: FailedProgram | undefined
}

/** The error that an OCI runtime's own words mean. */
export function runtimeFailure({ attempt, log, program }: RuntimeFailure): PodlibError {
  const message = runtimeMessage(log)
  const code = PATTERNS.find(([pattern]) => pattern.test(message))?.[1] ?? 'ERR_OCI_RUNTIME'
  const advice = code === 'ERR_CGROUP_LAYOUT' ? `; ${HYBRID_ADVICE}` : ''
  const said = message === '' ? 'the OCI runtime gave no reason' : message
  return new PodlibError(code, `cannot ${attempt}: ${said}${advice}`, { details: { runtimeMessage: message }, ...(program && { program }) })
}

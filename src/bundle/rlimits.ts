import { RLIM_INFINITY } from '../spec/serialize-spec.ts'
import { refused, shown } from './check.ts'
import type { RlimitConfig } from './container-config.ts'
import type { ProcessOptions, UlimitValue } from './container-options.ts'
import type { HostFacts } from './host-facts.ts'

const NAMES = new Set(
  'AS CORE CPU DATA FSIZE LOCKS MEMLOCK MSGQUEUE NICE NOFILE NPROC RSS RTPRIO RTTIME SIGPENDING STACK'
    .split(' ')
    .map((name) => `RLIMIT_${name}`),
)

/** @throws ERR_INVALID_ARGUMENT for a limit that getrlimit(2) does not know, or a soft one above the hard one. */
export function resolveRlimits(ulimits: NonNullable<ProcessOptions['ulimits']>): RlimitConfig[] {
  return Object.entries(ulimits).map(([name, value]) => {
    const type = `RLIMIT_${name.toUpperCase().replace(/^RLIMIT_/, '')}`
    if (!NAMES.has(type)) throw refused('options', `unknown ulimit ${shown(name)}`, { ulimit: name })
    const pair = typeof value === 'object' ? value : { soft: value, hard: value }
    const soft = limit(pair.soft)
    const hard = limit(pair.hard)
    if ((soft ?? RLIM_INFINITY) > (hard ?? RLIM_INFINITY)) {
      throw refused('options', `ulimit ${name}: the soft limit ${pair.soft} is above the hard limit ${pair.hard}`, { ulimit: name })
    }
    return { type, soft, hard }
  })
}

/**
 * The limits for the OCI runtime, never above what the host process may set: setrlimit(2) would fail the start. Raising
 * a hard limit needs the privilege that lowering oom_score_adj needs, CAP_SYS_RESOURCE in the first user namespace.
 */
export function specRlimits(
  rlimits: readonly RlimitConfig[],
  facts: HostFacts,
  warnings: string[],
): { type: string; soft: number; hard: number }[] {
  return rlimits.map(({ type, soft, hard }) => {
    const ceiling = facts.canLowerOomScoreAdj ? RLIM_INFINITY : (facts.hardRlimits[type] ?? RLIM_INFINITY)
    const asked = hard ?? RLIM_INFINITY
    const given = Math.min(asked, ceiling)
    if (given < asked) warnings.push(`${type} cannot be raised above ${given} without CAP_SYS_RESOURCE: that is its hard limit now`)
    return { type, soft: Math.min(soft ?? RLIM_INFINITY, given), hard: given }
  })
}

function limit(value: UlimitValue): number | null {
  return value === 'unlimited' || value === -1 ? null : value
}

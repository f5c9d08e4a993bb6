import { existsSync } from 'node:fs'
import { capabilitiesFromMask } from './bundle/capabilities.ts'
import { readSeccompProfile } from './container/seccomp-file.ts'
import { readCgroupLayout } from './host/cgroup.ts'
import type { Host } from './host/host.ts'
import type { Machine } from './lifecycle/context.ts'
import type { ResolvedOptions } from './options.ts'
import type { SeccompProfile } from './spec/seccomp-profile.ts'

/** Looks once at what bundles depend on. */
export async function describeMachine(host: Host, { env, home }: ResolvedOptions): Promise<Machine> {
  const { boundingCapabilities, ...facts } = await host.run('describe-host', undefined)
  const config = env.XDG_CONFIG_HOME ?? `${home}/.config`
  return {
    facts: { ...facts, boundingCapabilities: capabilitiesFromMask(boundingCapabilities) },
    cgroups: readCgroupLayout(),
    seccompProfile: hostSeccompProfile([
      `${config}/containers/seccomp.json`,
      '/etc/containers/seccomp.json',
      '/usr/share/containers/seccomp.json',
    ]),
  }
}

/** The first that exists; without any, podlib's own profile is used. */
function hostSeccompProfile(candidates: readonly string[]): SeccompProfile | undefined {
  const path = candidates.find((candidate) => existsSync(candidate))
  return path === undefined ? undefined : readSeccompProfile(path)
}

import type { ContainerConfig, NamespaceConfig } from '../bundle/container-config.ts'
import { PodlibError } from '../errors/errors.ts'

/**
 * Refuses what a container can be told but nobody acts on yet: it would be stored and have no effect, and whoever asked for
 * it would rely on it.
 *
 * @throws ERR_OPTION_UNSUPPORTED
 */
export function refuseUnsupported({ lifecycle, mounts, log, namespaces }: ContainerConfig, hasOwnHealthcheck: boolean): void {
  if (lifecycle.restart.policy !== 'no')
    throw unsupported('restart', 'no container is restarted by podlib yet: wait for its end and start it')
  if (hasOwnHealthcheck) throw unsupported('healthcheck', 'no health check is run by podlib yet: run it with exec')
  const volume = mounts.find(({ type }) => type === 'volume')
  if (volume?.type === 'volume') {
    if (volume.fromImage) throw unsupported('imageVolumes', "there are no volumes yet: use 'tmpfs' or 'ignore'")
    throw unsupported('mounts', `there are no volumes yet, for ${volume.target}: use a mount of type 'bind' or 'tmpfs'`)
  }
  if (log.driver === 'json-file' || log.driver === 'journald')
    throw unsupported('logDriver', `no log is written as ${log.driver} yet: use 'k8s-file' or 'none'`)
  const { idMappings: _, ...kinds } = namespaces
  for (const [kind, { mode }] of Object.entries(kinds) as [string, NamespaceConfig][]) {
    const option = kind === 'user' ? 'userNamespace' : kind
    if (mode === 'container')
      throw unsupported(option, "no namespace of another container can be joined by its id yet: use its path, '/proc/<pid>/ns/...'")
  }
}

/** An option that stands for something that cannot be had there; `why` says what to do. */
export function unsupported(option: string, why: string): PodlibError {
  return new PodlibError('ERR_OPTION_UNSUPPORTED', `option ${option}: ${why}`, { details: { option } })
}

import { join } from 'node:path'
import type { Host } from '../host/host.ts'
import type { RuntimeSpec } from '../spec/runtime.ts'
import { createCliRuntime } from './cli.ts'
import type { OciRuntime } from './oci-runtime.ts'
import { SECCOMP_ANNOTATION, SeccompCache } from './seccomp-cache.ts'

export interface RuntimeOptions {
  readonly host: Host
  /** Absolute path of the program. */
  readonly path: string
  /** Parent of the runtime's state directory. */
  readonly stateDirectory: string
  /** For what is worth keeping over a reboot. */
  readonly cacheDirectory: string
  /**
   * Who makes the cgroups of containers: the runtime itself, systemd (which must then be the host's init), or nobody, where
   * that is not possible.
   */
  readonly cgroupManager: 'cgroupfs' | 'systemd' | 'none'
  /** The whole environment of the runtime: `PATH`, and `XDG_RUNTIME_DIR` where there is one. */
  readonly env: Readonly<Record<string, string>>
}

/**
 * Where crun and runc would make a file to mount themselves on, and leave it when they are killed just then. Nowhere:
 * they copy themselves to memory instead, where they do not run from a sealed copy already.
 */
export const NO_CLONE_FILES = { _LIBCONTAINER_STATEDIR: '/dev/null' }

/** @see https://github.com/containers/crun/blob/main/crun.1.md */
export function createCrun({ host, path, stateDirectory, cacheDirectory, cgroupManager, env }: RuntimeOptions): OciRuntime {
  const root = join(stateDirectory, 'crun')
  const globalArgs = ['--root', root, `--cgroup-manager=${cgroupManager === 'none' ? 'disabled' : cgroupManager}`]
  const runtime = createCliRuntime(host, { path, globalArgs, env: { ...env, ...NO_CLONE_FILES }, sealed: true })
  const cache = new SeccompCache({ directory: join(cacheDirectory, 'seccomp'), program: path, runtimeRoot: root })
  return {
    ...runtime,
    async prepareSpec(id, spec) {
      return withCompiledFilter(id, await runtime.prepareSpec(id, spec), cache)
    },
    async start(id, options) {
      if (cache.wants(id)) cache.harvest(id)
      await runtime.start(id, options)
    },
    async delete(id, options) {
      cache.forget(id)
      await runtime.delete(id, options)
    },
    async run(request) {
      const container = runtime.run(request)
      if (cache.wants(request.id))
        void cache.harvestWhileRunning(
          request.id,
          container.then(({ exited }) => exited),
        )
      return container
    },
  }
}

/** The profile stays in the spec: a crun that does not know the annotation compiles it. */
function withCompiledFilter(id: string, spec: RuntimeSpec, cache: SeccompCache): RuntimeSpec {
  const profile = spec.linux?.seccomp
  if (profile === undefined) return spec
  const filter = cache.find(id, profile)
  return filter === undefined ? spec : { ...spec, annotations: { ...spec.annotations, [SECCOMP_ANNOTATION]: filter } }
}

import { join } from 'node:path'
import { createCliRuntime } from './cli.ts'
import type { RuntimeOptions } from './crun.ts'
import type { OciRuntime } from './oci-runtime.ts'

/** @see https://github.com/opencontainers/runc/blob/main/man/runc.8.md */
export function createRunc({ host, path, stateDirectory, systemdCgroup, env }: RuntimeOptions): OciRuntime {
  const globalArgs = ['--root', join(stateDirectory, 'runc'), ...(systemdCgroup ? ['--systemd-cgroup'] : [])]
  return createCliRuntime(host, { path, globalArgs, env, sealed: true })
}

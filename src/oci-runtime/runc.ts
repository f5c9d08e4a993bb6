import { join } from 'node:path'
import { createCliRuntime } from './cli.ts'
import { NO_CLONE_FILES, type RuntimeOptions } from './crun.ts'
import type { OciRuntime } from './oci-runtime.ts'

/** Told that it is rootless, runc goes on where it may not make a cgroup. */
const GLOBAL_ARGS = { cgroupfs: [], systemd: ['--systemd-cgroup'], none: ['--rootless=true'] } as const

/** @see https://github.com/opencontainers/runc/blob/main/man/runc.8.md */
export function createRunc({ host, path, stateDirectory, cgroupManager, env }: RuntimeOptions): OciRuntime {
  const globalArgs = ['--root', join(stateDirectory, 'runc'), ...GLOBAL_ARGS[cgroupManager]]
  return createCliRuntime(host, { path, globalArgs, env: { ...env, ...NO_CLONE_FILES }, sealed: true })
}

import { join } from 'node:path'
import { createCliRuntime } from './cli.ts'
import { NO_CLONE_FILES, type RuntimeOptions } from './crun.ts'
import type { OciRuntime } from './oci-runtime.ts'

/** Told that it is rootless, runc goes on where it may not make a cgroup. */
const GLOBAL_ARGS = { cgroupfs: [], systemd: ['--systemd-cgroup'], none: ['--rootless=true'] } as const

/**
 * An attached `runc exec` gives its process pipes and copies what goes through them, so it ends only when nobody holds them any
 * more, also when a process in the background does. Only with `--detach` are the streams handed over as they are, but then runc
 * is gone at once, and with it the parent that learns of the exit code: that needs a monitor.
 *
 * @see https://github.com/opencontainers/runc/blob/main/man/runc.8.md
 */
export function createRunc({ host, path, stateDirectory, cgroupManager, env }: RuntimeOptions): OciRuntime {
  const globalArgs = ['--root', join(stateDirectory, 'runc'), ...GLOBAL_ARGS[cgroupManager]]
  return createCliRuntime(host, { path, globalArgs, env: { ...env, ...NO_CLONE_FILES }, sealed: true })
}

import { closeSync, openSync } from 'node:fs'
import { type Child, startChild } from './child.ts'
import { type RuntimeCommand, runtimeArgv } from './runtime-command.ts'
import { sealedProgram } from './sealed-program.ts'
import type { WaitStatus } from './sys/posix-spawn.ts'

export interface RuntimeCall {
  /** The verb and what follows it. */
  readonly args: readonly string[]
  readonly stdio: readonly [stdin: number, stdout: number, stderr: number]
}

/** The file to execute for a runtime. */
export function runtimeProgram({ path, sealed }: RuntimeCommand): string {
  return sealed ? sealedProgram(path) : path
}

/** Starts a runtime as a child of the worker. */
export function startRuntime(runtime: RuntimeCommand, { args, stdio }: RuntimeCall): Child {
  return startChild({ file: runtimeProgram(runtime), argv: runtimeArgv(runtime, args), env: runtime.env, cwd: '/', stdio })
}

/** Runs a verb for its effect only: nobody hears what it says. */
export async function callRuntimeQuietly(runtime: RuntimeCommand, args: readonly string[]): Promise<WaitStatus> {
  const nothing = openSync('/dev/null', 'r+')
  try {
    return await startRuntime(runtime, { args, stdio: [nothing, nothing, nothing] }).exited
  } finally {
    closeSync(nothing)
  }
}

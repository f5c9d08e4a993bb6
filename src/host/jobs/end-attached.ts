import { killExec } from '../exec-mark.ts'
import { isSameProcess } from '../proc.ts'
import type { RuntimeCommand } from '../runtime-command.ts'
import { callRuntimeQuietly } from '../start-runtime.ts'

export interface EndAttachedInput {
  /** The runtime's process that was left alone, and everything below it. */
  readonly process: { readonly pid: number; readonly startTime: number }
  /** A container that goes with it; none when the process was one more in a container that lives on. */
  readonly container?: { readonly runtime: RuntimeCommand; readonly id: string } | undefined
}

/** Ends what an attached run or exec left behind when the worker that attended it was killed. */
export async function endAttached({ process: { pid, startTime }, container }: EndAttachedInput): Promise<void> {
  if (isSameProcess(pid, startTime)) await killExec(pid)
  if (container) await callRuntimeQuietly(container.runtime, ['delete', '--force', container.id])
}

import { setImmediate as nextTurn } from 'node:timers/promises'
import type { CreateContainerOptions } from '../bundle/container-options.ts'
import type { Context } from '../lifecycle/context.ts'
import { parseDuration } from '../util/quantity.ts'
import { type ImageChoice, imageFor } from './container-image.ts'
import { createContainer } from './create.ts'
import type { OutputEncoding } from './exec.ts'
import { runAttached } from './run-attached.ts'
import { runMonitored } from './run-monitored.ts'
import { checkRunOptions, type RunOptions, type RunResult } from './run-options.ts'

/** Runs a container to its end and removes it, whatever happens. */
export async function runOnce<Encoding extends OutputEncoding>(
  context: Context,
  image: ImageChoice,
  argv: readonly string[],
  options: RunOptions<Encoding> = {},
): Promise<RunResult<Encoding>> {
  const { input, encoding, maxOutputBytes, timeout, signal, monitor = false, pull, ...create } = options
  checkRunOptions(options)
  const timeoutMs = timeout === undefined ? undefined : parseDuration(timeout, 'timeout')
  const io = {
    ...(input !== undefined && { input }),
    ...(encoding && { encoding }),
    ...(maxOutputBytes !== undefined && { maxOutputBytes }),
  }
  // The log under a monitor is read to its end for the result, so it must be whole.
  const container: CreateContainerOptions = { ...create, command: argv, ephemeral: true, ...(monitor && { logDriver: 'k8s-file' }) }
  const from = await imageFor(context, image, { policy: pull, signal, options: container })
  const run = monitor ? runMonitored<Encoding> : runAttached<Encoding>
  const work = async () => {
    // The application gets its turn between what takes long; it may close the runtime then.
    await nextTurn()
    context.closing.throwIfAborted()
    const created = await createContainer(context, { image: from, options: container, mode: monitor ? 'attended' : 'attached' })
    await nextTurn()
    return run(context, created, { io, timeoutMs, signal })
  }
  const running = work()
  // A runtime that is closed meanwhile is closed when nothing of it is left.
  context.background.add(running)
  return running
}

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
  const created = await createContainer(context, {
    image: await imageFor(context, image, { policy: pull, signal, options: container }),
    options: container,
    mode: monitor ? 'attended' : 'attached',
  })
  const run = monitor ? runMonitored<Encoding> : runAttached<Encoding>
  // What follows is as long again: the application gets its turn. If it closes the runtime then, this is waited for.
  const running = nextTurn().then(() => run(context, created, { io, timeoutMs, signal }))
  context.background.add(running)
  return running
}

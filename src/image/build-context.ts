import { mkdirSync } from 'node:fs'
import { Readable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import { openFeed } from '../host/feed.ts'
import type { Context } from '../lifecycle/context.ts'
import type { BuildOptions } from './build-options.ts'
import { ioPath } from './io-path.ts'
import { stagingPath } from './staged-archive.ts'

/** Runs `use` with the directory that a build is of: a tar is unpacked, and removed at the end. */
export async function withContextDirectory<Result>(
  context: Context,
  given: BuildOptions['context'],
  { signal, use }: { readonly signal: AbortSignal; readonly use: (directory: string | undefined) => Promise<Result> },
): Promise<Result> {
  if (given === undefined || typeof given === 'string') return use(given)
  const directory = stagingPath(context, '.context')
  const host = await context.host()
  try {
    await unpack(context, { given, directory, signal })
    return await use(directory)
  } finally {
    await host.run('remove-tree', { paths: [directory] })
  }
}

interface UnpackInput {
  readonly given: AsyncIterable<Uint8Array>
  readonly directory: string
  readonly signal: AbortSignal
}

async function unpack(context: Context, { given, directory, signal }: UnpackInput): Promise<void> {
  const host = await context.host()
  // Shows the next process, should this one die, that there may be something to sweep.
  mkdirSync(context.paths.io, { recursive: true, mode: 0o700 })
  const feed = openFeed(ioPath(context, 'context'))
  const failed = new AbortController()
  const either = AbortSignal.any([signal, failed.signal])
  // Whichever side fails first stops the other, and its error is the one that tells what happened.
  const stop = (error: unknown) => {
    if (!failed.signal.aborted) failed.abort(error)
  }
  try {
    await Promise.all([
      host.run('unpack-context', { source: feed.path, directory }, { signal: either }).catch(stop),
      pipeline(Readable.from(given, { objectMode: false }), feed.stream, { signal: either }).catch(stop),
    ])
    signal.throwIfAborted()
    failed.signal.throwIfAborted()
  } finally {
    feed.close()
  }
}

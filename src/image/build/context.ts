import { mkdirSync } from 'node:fs'
import { Readable } from 'node:stream'
import { feedJob } from '../../host/feed.ts'
import type { Context } from '../../lifecycle/context.ts'
import { ioPath } from '../io-path.ts'
import { stagingPath } from '../staged-archive.ts'
import type { BuildOptions } from './options.ts'

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
    // Shows the next process, should this one die, that there may be something to sweep.
    mkdirSync(context.paths.io, { recursive: true, mode: 0o700 })
    const path = ioPath(context, 'context')
    const job = (either: AbortSignal) => host.run('unpack-context', { source: path, directory }, { signal: either })
    await feedJob({ path, source: Readable.from(given, { objectMode: false }), job, signal })
    return await use(directory)
  } finally {
    await host.run('remove-tree', { paths: [directory] })
  }
}

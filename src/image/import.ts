import { stat } from 'node:fs/promises'
import { resolve } from 'node:path'
import { Readable } from 'node:stream'
import { errorCode, PodlibError } from '../errors/errors.ts'
import { drainJob } from '../host/drain.ts'
import type { Context } from '../lifecycle/context.ts'
import { type Digest, digestOf } from '../spec/digest.ts'
import type { ImageRunConfig } from '../spec/image.ts'
import type { Platform } from '../spec/platform.ts'
import { formatReference, parseReference } from '../spec/reference.ts'
import type { BlobContent } from '../transport/image-source.ts'
import { type Operation, startOperation } from '../util/operation.ts'
import { checkOptions, type OptionNames } from '../util/options.ts'
import { type AcquireProgress, storePlan } from './acquire.ts'
import { completeWithManifest, type ImagePlan, type StoredLayer } from './image-plan.ts'
import { ioPath } from './io-path.ts'
import { platformOption } from './platform-option.ts'
import type { PulledImage } from './pull.ts'
import { parseImageConfig } from './select-manifest.ts'
import { verifyImage } from './verify.ts'

/** @public */
export interface ImportOptions {
  /** Name of the image; one without a registry is of `localhost`. It may move from another image. */
  readonly name?: string
  /** How containers of it run: `{ Cmd: ['sh'], Env: ['A=b'], User: '1000' }`. */
  readonly config?: ImageRunConfig
  /** A remark for the image's history. */
  readonly message?: string
  readonly author?: string
  /** What it says that it is for. @defaultValue the platform of this machine */
  readonly platform?: string | Platform
  /** @defaultValue now */
  readonly createdAt?: Date
  readonly signal?: AbortSignal
}

/** What an import is at. @public */
export interface ImportProgress {
  readonly phase: 'unpack' | 'commit'
  /** Of what is imported, read so far. */
  readonly bytes: number
  readonly unpackedBytes: number
}

const IMPORT_OPTIONS: OptionNames<ImportOptions> = {
  name: true,
  config: true,
  message: true,
  author: true,
  platform: true,
  createdAt: true,
  signal: true,
}

/**
 * Makes an image of one layer of a root file system. The policy is asked first, as podman does: about the transport
 * `tarball`, whatever form the root file system has.
 */
export function importImage(
  context: Context,
  from: string | AsyncIterable<Uint8Array>,
  options: ImportOptions = {},
): Operation<PulledImage, ImportProgress> {
  return startOperation<PulledImage, ImportProgress>(
    async (report) => {
      checkOptions('images.import', options, IMPORT_OPTIONS)
      const signal = options.signal ? AbortSignal.any([options.signal, context.closing]) : context.closing
      const work = importOne(context, from, { ...options, signal, report })
      // A runtime that is closed meanwhile is closed when nothing of it is left.
      context.background.add(work)
      return work
    },
    ({ phase }) => phase,
  )
}

type ImportRequest = ImportOptions & { readonly signal: AbortSignal; readonly report: (progress: ImportProgress) => void }

async function importOne(context: Context, from: string | AsyncIterable<Uint8Array>, options: ImportRequest): Promise<PulledImage> {
  const { name, signal, report } = options
  const names = name === undefined ? [] : [formatReference(parseReference(name, { defaultRegistry: 'localhost' }))]
  // Whatever is wrong with the config shows before a gigabyte is unpacked.
  const draft = configBytes(context, options, [])
  const origin = await verifyImage(context, {
    identity: { transport: 'tarball', path: typeof from === 'string' ? resolve(from) : '-' },
    // Nothing can be signed here: whatever digest is given, only a policy that asks for no signature lets it pass.
    manifestDigest: digestOf(draft),
    indexDigest: undefined,
    sources: {},
    signal,
  })
  const plan = importPlan(context, options, (contentSignal) => contentOf(context, from, contentSignal))
  const id = await storePlan(context, plan, {
    names,
    replaceNames: true,
    report: (progress) => report(importProgress(progress)),
    action: 'import',
    origin,
    durable: true,
    signal,
  })
  return { id, name: names[0] ?? id }
}

function importProgress(progress: AcquireProgress): ImportProgress {
  if (!('bytes' in progress)) return { phase: 'commit', bytes: 0, unpackedBytes: 0 }
  return { phase: 'unpack', bytes: progress.bytes, unpackedBytes: progress.unpackedBytes }
}

function importPlan(context: Context, options: ImportOptions, content: (signal: AbortSignal) => Promise<BlobContent>): ImagePlan {
  const complete = (stored: readonly StoredLayer[]) => {
    const bytes = configBytes(
      context,
      options,
      stored.map(({ diffId }) => diffId),
    )
    return completeWithManifest({ config: parseImageConfig(bytes), configBytes: bytes, stored })
  }
  return { configDigest: undefined, layers: [{ diffId: undefined, blob: undefined, size: 0, content }], complete }
}

function configBytes(context: Context, options: ImportOptions, diffIds: readonly Digest[]): Buffer {
  const { os, architecture, variant } = platformOption(options, context.platform)
  const { author, config = {}, message, createdAt = new Date() } = options
  const created = createdAt.toISOString()
  const bytes = Buffer.from(
    JSON.stringify({
      created,
      ...(author && { author }),
      architecture,
      os,
      ...(variant && options.platform !== undefined && { variant }),
      config,
      rootfs: { type: 'layers', diff_ids: diffIds },
      history: [{ created, created_by: 'import', ...(author && { author }), ...(message && { comment: message }) }],
    }),
  )
  parseImageConfig(bytes)
  return bytes
}

async function contentOf(context: Context, from: string | AsyncIterable<Uint8Array>, signal: AbortSignal): Promise<BlobContent> {
  if (typeof from !== 'string') return { stream: Readable.from(from, { objectMode: false }) }
  const path = resolve(from)
  const found = await stat(path).catch((error: unknown) => {
    throw new PodlibError('ERR_ARCHIVE_INVALID', `cannot import ${path}: ${errorCode(error)}`, { details: { path }, cause: error })
  })
  if (found.isDirectory()) return { stream: Readable.from(directoryTar(context, path, signal), { objectMode: false }) }
  if (found.isFile()) return { file: { path, offset: 0, size: undefined } }
  throw new PodlibError('ERR_ARCHIVE_INVALID', `cannot import ${path}: it is neither a file nor a directory`, { details: { path } })
}

/** The tar of a directory, while a worker writes it. */
async function* directoryTar(context: Context, directory: string, signal: AbortSignal): AsyncGenerator<Buffer> {
  const host = await context.host()
  const target = ioPath(context, 'tree')
  yield* drainJob(target, (either) => host.run('tree-tar', { directory, target }, { signal: either, unqueued: true }), signal)
}

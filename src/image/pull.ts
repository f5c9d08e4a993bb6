import { isPodlibError, PodlibError } from '../errors/errors.ts'
import type { Context } from '../lifecycle/context.ts'
import { resolveShortName } from '../registry/endpoints.ts'
import { type Platform, parsePlatform } from '../spec/platform.ts'
import { formatReference, isShortName, parseReference, type Reference } from '../spec/reference.ts'
import { type Operation, startOperation } from '../util/operation.ts'
import { acquireImage } from './acquire.ts'
import { type PullProgress, progressKey, pullProgress } from './progress.ts'
import { registrySource } from './registry-source.ts'
import { signatureSources } from './signature-sources.ts'

/** @public */
export interface PullOptions {
  /** `linux/arm64/v8` or its parts. @defaultValue the platform of this machine */
  readonly platform?: string | Platform
  /** Stops the pull. Layers that are complete stay for the next one; nothing else does. */
  readonly signal?: AbortSignal
}

/** Pulls an image and resolves to its id. */
export function pullImage(context: Context, name: string, options: PullOptions = {}): Operation<string, PullProgress> {
  return startOperation<string, PullProgress>(async (report) => pullFirst(context, name, options, report), progressKey)
}

type Report = (progress: PullProgress) => void

/** A short name can mean several images: the first that exists is it. */
async function pullFirst(context: Context, name: string, options: PullOptions, report: Report): Promise<string> {
  report({ phase: 'resolve', reference: name })
  const candidates = await candidatesFor(context, name)
  for (const [index, reference] of candidates.entries()) {
    try {
      return await pullReference(context, reference, options, report)
    } catch (error) {
      if (index === candidates.length - 1 || !isPodlibError(error) || error.kind !== 'not-found') throw error
    }
  }
  throw new PodlibError('ERR_SHORT_NAME', `'${name}' names no registry`, { details: { reference: name } })
}

async function candidatesFor(context: Context, name: string): Promise<readonly Reference[]> {
  if (!isShortName(name)) return [parseReference(name)]
  return resolveShortName(await context.registriesConf(), name).candidates.map((candidate) => parseReference(candidate))
}

async function pullReference(context: Context, reference: Reference, options: PullOptions, report: Report): Promise<string> {
  const name = formatReference(reference)
  return acquireImage(context, {
    source: await registrySource(context, reference),
    identity: { transport: 'docker', reference },
    signatures: await signatureSources(context, reference),
    platform: platformOf(options, context.platform),
    names: [name],
    replaceNames: true,
    action: 'pull',
    report: (progress) => report(pullProgress(progress, name)),
    signal: options.signal,
  })
}

export function platformOf({ platform }: { readonly platform?: string | Platform }, host: Platform): Platform {
  return typeof platform === 'string' ? parsePlatform(platform) : (platform ?? host)
}

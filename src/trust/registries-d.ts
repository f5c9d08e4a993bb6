import { readdir } from 'node:fs/promises'
import { join } from 'node:path'
import { errorCode, errorMessage, PodlibError } from '../errors/errors.ts'
import type { Reference } from '../spec/reference.ts'
import { readSmallFile } from './material.ts'
import { scopesOf, widerScopes } from './scopes.ts'

/** What registries.d says of a scope; unset fields are looked up in less specific ones. @public */
export interface SignatureStorage {
  /** Base URL of the lookaside server: file, http or https. */
  readonly lookaside: string | undefined
  /** Base URL of the place that signatures are written to, where that is another one. */
  readonly lookasideStaging?: string | undefined
  /** Whether cosign attachments are looked for in the registry. */
  readonly useSigstoreAttachments: boolean | undefined
}

/** All of registries.d. @public */
export interface SignatureConfig {
  readonly defaultDocker: SignatureStorage | undefined
  readonly docker: ReadonlyMap<string, SignatureStorage>
}

const MAX_FILE_BYTES = 1 << 20
const SYSTEM_DIRECTORY = '/etc/containers/registries.d'

/**
 * Reads where signatures are kept: every `*.yaml` of `directory`, else of `<home>/.config/containers/registries.d`
 * if that exists, else of `/etc/containers/registries.d`. No directory is an empty configuration.
 *
 * @throws ERR_CONFIG_INVALID for a malformed file, or a scope that two files configure
 * @see man 5 containers-registries.d
 * @public
 */
export async function loadSignatureConfig(
  options: { directory?: string; home?: string; signal?: AbortSignal } = {},
): Promise<SignatureConfig> {
  const { directory, home, signal } = options
  const user = home === undefined ? [] : [join(home, '.config/containers/registries.d')]
  const files: (readonly [string, SignatureConfig])[] = []
  for (const candidate of directory === undefined ? [...user, SYSTEM_DIRECTORY] : [directory]) {
    const names = await listYaml(candidate)
    if (!names) continue
    for (const name of names) {
      const path = join(candidate, name)
      files.push([path, parseSignatureConfig(await parseYaml(path, signal), path)])
    }
    break
  }
  return merge(files)
}

/** What is configured for an image: each field from the most specific scope that sets it, then from `default-docker`. @public */
export function signatureStorageFor(config: SignatureConfig, reference: Reference): SignatureStorage {
  return storageOf(config, scopesOf({ transport: 'docker', reference }))
}

/** What is configured for the images of a scope that nothing more specific is configured for; `""` is any image. */
export function signatureStorageOfScope(config: SignatureConfig, scope: string): SignatureStorage {
  return storageOf(config, widerScopes(scope))
}

function storageOf(config: SignatureConfig, scopes: readonly string[]): SignatureStorage {
  const sections = [...scopes.filter((scope) => scope !== '').map((scope) => config.docker.get(scope)), config.defaultDocker].filter(
    (section) => section !== undefined,
  )
  // A place for writing counts where it is set together with a lookaside, or more specifically than one.
  const written = sections.find((section) => section.lookasideStaging !== undefined || section.lookaside !== undefined)
  return {
    lookaside: sections.find((section) => section.lookaside !== undefined)?.lookaside,
    ...(written?.lookasideStaging !== undefined && { lookasideStaging: written.lookasideStaging }),
    useSigstoreAttachments: sections.find((section) => section.useSigstoreAttachments !== undefined)?.useSigstoreAttachments,
  }
}

async function listYaml(directory: string): Promise<readonly string[] | undefined> {
  try {
    return (await readdir(directory)).filter((name) => name.endsWith('.yaml')).sort()
  } catch (error) {
    if (errorCode(error) === 'ENOENT' || errorCode(error) === 'ENOTDIR') return undefined
    throw invalid(directory, `cannot be read: ${errorMessage(error)}`)
  }
}

async function parseYaml(path: string, signal: AbortSignal | undefined): Promise<unknown> {
  const { parse } = await import('yaml')
  try {
    const text = (await readSmallFile(path, MAX_FILE_BYTES, signal)).toString('utf8')
    return parse(text, { uniqueKeys: true, maxAliasCount: 10, schema: 'core', prettyErrors: true })
  } catch (error) {
    signal?.throwIfAborted()
    throw invalid(path, errorMessage(error))
  }
}

/** Checks one parsed file. Members that are not known are left to later versions. */
function parseSignatureConfig(document: unknown, path: string): SignatureConfig {
  const root = document === null || document === undefined ? {} : mapping(document, path, 'the file')
  const docker = root.docker === undefined || root.docker === null ? {} : mapping(root.docker, path, 'docker')
  const scopes = Object.entries(docker).map(
    ([scope, section]) => [scope, readSection(section, path, `docker ${JSON.stringify(scope)}`)] as const,
  )
  const standard = root['default-docker']
  return {
    defaultDocker: standard === undefined || standard === null ? undefined : readSection(standard, path, 'default-docker'),
    docker: new Map(scopes),
  }
}

function readSection(value: unknown, path: string, where: string): SignatureStorage {
  const section = mapping(value, path, where)
  // `sigstore` is the name that `lookaside` had before sigstore the project took it.
  const lookaside = text(section.lookaside ?? section.sigstore, path, `${where}: lookaside`)
  const lookasideStaging = text(section['lookaside-staging'] ?? section['sigstore-staging'], path, `${where}: lookaside-staging`)
  const attachments = section['use-sigstore-attachments'] ?? undefined
  if (attachments !== undefined && typeof attachments !== 'boolean')
    throw invalid(path, `${where}: use-sigstore-attachments must be true or false`)
  return { lookaside, ...(lookasideStaging !== undefined && { lookasideStaging }), useSigstoreAttachments: attachments }
}

function text(value: unknown, path: string, where: string): string | undefined {
  if (value === undefined || value === null || value === '') return undefined
  if (typeof value !== 'string') throw invalid(path, `${where} must be a string`)
  return value
}

function mapping(value: unknown, path: string, where: string): Readonly<Record<string, unknown>> {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) throw invalid(path, `${where} must be a mapping`)
  return value as Record<string, unknown>
}

// Which of two files wins would depend on their names; so neither does.
function merge(files: readonly (readonly [string, SignatureConfig])[]): SignatureConfig {
  const docker = new Map<string, SignatureStorage>()
  const origins = new Map<string, string>()
  let defaultDocker: SignatureStorage | undefined
  for (const [path, config] of files) {
    if (config.defaultDocker) {
      claim(origins, 'default-docker', path)
      defaultDocker = config.defaultDocker
    }
    for (const [scope, section] of config.docker) {
      claim(origins, `docker ${JSON.stringify(scope)}`, path)
      docker.set(scope, section)
    }
  }
  return { defaultDocker, docker }
}

function claim(origins: Map<string, string>, section: string, path: string): void {
  const other = origins.get(section)
  if (other !== undefined) throw invalid(path, `${section} is configured in ${other} already`)
  origins.set(section, path)
}

function invalid(path: string, why: string): PodlibError {
  return new PodlibError('ERR_CONFIG_INVALID', `invalid signature storage configuration ${path}: ${why}`, { details: { path } })
}

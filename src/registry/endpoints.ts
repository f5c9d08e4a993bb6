import { PodlibError } from '../errors/errors.ts'
import { isShortName, parseReference } from '../spec/reference.ts'
import type { MirrorConf, RegistriesConf, RegistryConf } from './registries-conf.ts'
import type { Endpoint, RegistryTarget, RepositoryName } from './types.ts'

/**
 * Where a reference is fetched from, in order: its mirrors, then the registry itself. The reference stays
 * the image's identity for policies and signatures; an endpoint is only an address.
 *
 * @throws ERR_REGISTRY_BLOCKED, ERR_CONFIG_INVALID when a location does not make a repository name
 */
export function endpointsFor(conf: RegistriesConf, reference: RegistryTarget): Endpoint[] {
  const name = `${reference.registry}/${reference.repository}`
  const entry = findRegistry(conf, reference)
  if (!entry) return [{ registry: reference.registry, repository: reference.repository, insecure: false, mirror: false }]
  const { registry, length } = entry
  if (registry.blocked) throw blocked(registry.prefix, name)
  const rest = name.slice(length)
  const mirrors = registry.mirrors.filter((mirror) => serves(mirror, reference))
  return [
    ...mirrors.map(({ location, insecure }) => endpoint({ location, rest, insecure, mirror: true })),
    endpoint({ location: registry.location ?? name.slice(0, length), rest, insecure: registry.insecure, mirror: false }),
  ]
}

/** Asking for more would make a token that reads half of the registry. */
const MAX_MOUNTS = 3

export interface MountTarget {
  readonly conf: RegistriesConf
  readonly name: RepositoryName
  /** Where the push goes. */
  readonly endpoint: Endpoint
}

/**
 * The repositories that a blob may be mounted from, as the registry calls them. Those that are elsewhere by
 * registries.conf, or blocked, are left out.
 */
export function mountPlaces({ conf, name, endpoint: to }: MountTarget, repositories: readonly string[]): string[] {
  const places = repositories.map((repository) => {
    const { registry, repository: checked } = parseReference(`${name.registry}/${repository}`)
    const from = { registry, repository: checked }
    return findRegistry(conf, from)?.registry.blocked ? undefined : endpointsFor(conf, from).at(-1)
  })
  const here = places.flatMap((place) => (place?.registry === to.registry && place.repository !== to.repository ? [place.repository] : []))
  return [...new Set(here)].slice(0, MAX_MOUNTS)
}

/**
 * A registry itself, for what is about no single repository. Mirrors and other locations are for pulls only: they are not
 * asked, and not shown the credentials of the registry.
 *
 * @throws ERR_REGISTRY_BLOCKED, ERR_INVALID_REFERENCE
 */
export function registryEndpoint(conf: RegistriesConf, host: string): Endpoint {
  if (host.includes('/'))
    throw new PodlibError('ERR_INVALID_REFERENCE', `${JSON.stringify(host.slice(0, 200))} is no registry; write 'host' or 'host:port'`)
  const { registry } = parseReference(`${host}/x`)
  const target = { registry, repository: '' }
  const entry = findRegistry(conf, target)?.registry
  if (entry?.blocked) throw blocked(entry.prefix, registry)
  const isHere = (location: string | undefined) => location === registry || location?.startsWith(`${registry}/`) === true
  const places = conf.registries.flatMap((other) => [other, ...other.mirrors])
  const insecure = entry ? entry.insecure : places.some((place) => place.insecure && isHere(place.location))
  return { ...target, insecure, mirror: false }
}

/** What a short name may stand for. @public */
export interface ShortNameCandidates {
  /** Full names with tag or digest, in the order to try. */
  readonly candidates: readonly string[]
  /** An alias decided it, or the search registries. */
  readonly from: 'alias' | 'search'
}

/**
 * The full names that a short name stands for. podlib never asks and never guesses Docker Hub: without a
 * matching alias or search registry the name is refused.
 *
 * @throws ERR_SHORT_NAME listing the candidates when there is none, or several in mode `enforcing`
 * @public
 */
export function resolveShortName(conf: RegistriesConf, text: string): ShortNameCandidates {
  // Also checks the grammar, so that what is put before and behind it below is a name.
  const { repository } = parseReference(text, { defaultRegistry: 'localhost' })
  if (!isShortName(text)) return { candidates: [text], from: 'alias' }
  const suffix = text.slice(repository.length)
  const alias = conf.shortNameMode === 'disabled' || !Object.hasOwn(conf.aliases, repository) ? undefined : conf.aliases[repository]
  if (alias !== undefined) return { candidates: [`${alias}${suffix}`], from: 'alias' }
  const candidates = conf.unqualifiedSearchRegistries.map((registry) => `${registry}/${text}`)
  if (candidates.length === 1 || (candidates.length > 1 && conf.shortNameMode !== 'enforcing')) return { candidates, from: 'search' }
  const choice = candidates.length > 0 ? `write one of ${candidates.join(', ')}` : `write it in full, as in 'docker.io/library/${text}'`
  throw new PodlibError('ERR_SHORT_NAME', `'${text}' names no registry; ${choice}, or add an alias to registries.conf`, {
    details: { reference: text, candidates },
  })
}

function blocked(prefix: string, name: string): PodlibError {
  return new PodlibError('ERR_REGISTRY_BLOCKED', `registries.conf blocks '${prefix}', so ${name} is not asked for anything`, {
    details: { name, prefix },
  })
}

interface Match {
  readonly registry: RegistryConf
  /** How much of the name the prefix covers. */
  readonly length: number
}

// The longest match wins; equal lengths cannot be told apart, so the first stays.
function findRegistry(conf: RegistriesConf, { registry, repository, tag, digest }: RegistryTarget): Match | undefined {
  const name = `${registry}/${repository}`
  const full = name + (tag ? `:${tag}` : '') + (digest ? `@${digest}` : '')
  let best: { registry: RegistryConf; length: number } | undefined
  for (const candidate of conf.registries) {
    const length = matchLength(full, registry, candidate.prefix)
    if (length !== undefined && length > (best?.length ?? 0)) best = { registry: candidate, length }
  }
  return best && { registry: best.registry, length: Math.min(best.length, name.length) }
}

function matchLength(full: string, registry: string, prefix: string): number | undefined {
  if (prefix.startsWith('*.')) {
    const host = registry.replace(/:\d+$/, '')
    return host.endsWith(prefix.slice(1)) ? host.length : undefined
  }
  const end = full[prefix.length]
  return full.startsWith(prefix) && (end === undefined || '/:@'.includes(end)) ? prefix.length : undefined
}

function serves({ pullFromMirror }: MirrorConf, { digest }: RegistryTarget): boolean {
  return pullFromMirror === 'all' || (pullFromMirror === 'digest-only') === (digest !== undefined)
}

interface Address {
  readonly location: string
  readonly rest: string
  readonly insecure: boolean
  readonly mirror: boolean
}

function endpoint({ location, rest, insecure, mirror }: Address): Endpoint {
  try {
    const { registry, repository } = parseReference(`${location}${rest}`)
    return { registry, repository, insecure, mirror }
  } catch (error) {
    throw new PodlibError('ERR_CONFIG_INVALID', `the location '${location}' in registries.conf gives no valid name: '${location}${rest}'`, {
      details: { location },
      cause: error,
    })
  }
}

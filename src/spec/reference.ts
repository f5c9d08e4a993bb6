import { PodlibError } from '../errors/errors.ts'
import { type Digest, isDigest } from './digest.ts'

/**
 * A parsed image name. `name` is always fully qualified (`docker.io/library/alpine`); a reference with
 * neither tag nor digest got the tag `latest`.
 *
 * @see https://github.com/distribution/reference (grammar)
 * @public
 */
export interface Reference {
  /** Registry host with optional port, as in the name: `docker.io`, `localhost:5000`. */
  readonly registry: string
  /** Path below the registry: `library/alpine`. */
  readonly repository: string
  /** `registry/repository`. */
  readonly name: string
  readonly tag: string | undefined
  readonly digest: Digest | undefined
}

const COMPONENT = /^[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*$/
const HOST =
  /^(?:[a-zA-Z0-9](?:[a-zA-Z0-9-]*[a-zA-Z0-9])?(?:\.[a-zA-Z0-9](?:[a-zA-Z0-9-]*[a-zA-Z0-9])?)*|\[[0-9a-fA-F:]+\])(?::[0-9]{1,5})?$/
const TAG = /^\w[\w.-]{0,127}$/
const MAX_NAME_LENGTH = 255

/**
 * Parses an image name as people write it. A name without a registry is a *short name*: it is refused
 * here unless `defaultRegistry` is given, because guessing one invites squatters.
 *
 * @throws ERR_INVALID_REFERENCE, ERR_SHORT_NAME
 * @public
 */
export function parseReference(text: string, options: { defaultRegistry?: string } = {}): Reference {
  const { path, tag, digest } = splitReference(text)
  const slash = path.indexOf('/')
  const head = slash < 0 ? '' : path.slice(0, slash)
  const qualified = isRegistryHost(head)
  if (!qualified && options.defaultRegistry === undefined) {
    throw new PodlibError('ERR_SHORT_NAME', `'${text}' names no registry; write it in full, as in 'docker.io/library/alpine:3.20'`, {
      details: { reference: text },
    })
  }
  const given = qualified ? head : (options.defaultRegistry as string)
  const registry = given === 'index.docker.io' ? 'docker.io' : given
  const rest = qualified ? path.slice(slash + 1) : path
  const repository = registry === 'docker.io' && !rest.includes('/') ? `library/${rest}` : rest
  checkName(text, registry, repository)
  return { registry, repository, name: `${registry}/${repository}`, tag: tag ?? (digest ? undefined : 'latest'), digest }
}

/** Whether a name lacks a registry (`alpine`, `library/alpine`). @public */
export function isShortName(text: string): boolean {
  const { path } = splitReference(text)
  const slash = path.indexOf('/')
  return slash < 0 || !isRegistryHost(path.slice(0, slash))
}

/** The full text of a reference; with a digest the tag is left out. @public */
export function formatReference(reference: Reference): string {
  if (reference.digest) return `${reference.name}@${reference.digest}`
  return reference.tag ? `${reference.name}:${reference.tag}` : reference.name
}

function splitReference(text: string): { path: string; tag: string | undefined; digest: Digest | undefined } {
  const at = text.indexOf('@')
  const digest = at < 0 ? undefined : text.slice(at + 1)
  if (digest !== undefined && !isDigest(digest)) throw invalid(text, 'the part after @ is not a digest')
  const named = at < 0 ? text : text.slice(0, at)
  const colon = named.lastIndexOf(':')
  const tagged = colon > named.lastIndexOf('/')
  const tag = tagged ? named.slice(colon + 1) : undefined
  if (tag !== undefined && !TAG.test(tag)) throw invalid(text, 'the tag is malformed')
  return { path: tagged ? named.slice(0, colon) : named, tag, digest: digest as Digest | undefined }
}

function isRegistryHost(head: string): boolean {
  return head === 'localhost' || /[.:]/.test(head) || /[A-Z]/.test(head)
}

function checkName(text: string, registry: string, repository: string): void {
  if (!HOST.test(registry)) throw invalid(text, 'the registry host is malformed')
  if (!repository.split('/').every((part) => COMPONENT.test(part))) throw invalid(text, 'the repository path is malformed')
  if (registry.length + 1 + repository.length > MAX_NAME_LENGTH) throw invalid(text, 'the name is longer than 255 characters')
  if (/^[0-9a-f]{64}$/.test(repository)) throw invalid(text, 'a name of 64 hex digits would be taken for an ID')
}

function invalid(text: string, why: string): PodlibError {
  return new PodlibError('ERR_INVALID_REFERENCE', `invalid image reference ${JSON.stringify(text.slice(0, 300))}: ${why}`, {
    details: { reference: text.slice(0, 300) },
  })
}

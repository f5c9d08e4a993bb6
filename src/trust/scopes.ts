import type { Reference } from '../spec/reference.ts'
import type { Policy, Requirements } from './policy.ts'

/** What an image is called where it comes from. Path transports: symlinks are resolved before the policy is asked. @public */
export type ImageIdentity =
  | { readonly transport: 'docker'; readonly reference: Reference }
  | { readonly transport: 'dir' | 'oci' | 'oci-archive'; readonly path: string }
  /** A root file system that an image is made of. */
  | { readonly transport: 'tarball'; readonly path: string }
  | { readonly transport: 'docker-archive'; readonly path: string; readonly reference?: Reference }
  | { readonly transport: 'docker-daemon'; readonly image: string; readonly reference?: Reference }
  | {
      readonly transport: 'containers-storage'
      readonly driver: string
      readonly root: string
      readonly reference?: Reference
      readonly imageId?: string
    }

/** The requirements that apply to an image, and where in the policy they stand. */
export interface AppliedRequirements {
  readonly scope: PolicyScope
  readonly requirements: Requirements
}

/** A place in a policy: a scope of a transport (`""` is the transport's default), or the default of the whole policy. @public */
export interface PolicyScope {
  readonly transport: string | undefined
  readonly scope: string
}

/** The requirements of the most specific scope. Less specific ones are not looked at: they do not add up. */
export function requirementsFor(policy: Policy, identity: ImageIdentity): AppliedRequirements {
  const scopes = policy.transports.get(identity.transport)
  if (scopes) {
    for (const scope of scopesOf(identity)) {
      const requirements = scopes.get(scope)
      if (requirements) return { scope: { transport: identity.transport, scope }, requirements }
    }
  }
  return { scope: { transport: undefined, scope: '' }, requirements: policy.default }
}

/**
 * The scopes an image falls into, most specific first, the transport's default `""` last. Paths must be
 * resolved already: a symlink inside a trusted directory may lead anywhere.
 */
export function scopesOf(identity: ImageIdentity): readonly string[] {
  switch (identity.transport) {
    case 'docker':
      return dockerScopes(identity.reference)
    case 'dir':
    case 'oci':
    case 'oci-archive':
      return [...parentsOf(identity.path).filter((path) => path !== ''), '']
    case 'docker-archive':
    case 'tarball':
      return ['']
    case 'docker-daemon':
      return identity.reference ? dockerScopes(identity.reference) : ['']
    case 'containers-storage':
      return [...storageScopes(identity), '']
  }
}

function dockerScopes(reference: Reference): readonly string[] {
  return [...exactDocker(reference), ...parentsOf(reference.name), ...wildcards(reference.registry), '']
}

function exactDocker({ name, tag, digest }: { name: string; tag: string | undefined; digest: string | undefined }): readonly string[] {
  return [...(digest === undefined ? [] : [`${name}@${digest}`]), ...(tag === undefined ? [] : [`${name}:${tag}`])]
}

/** A scope of `docker` and those it lies in, most specific first: what holds for an image of it unless it says better. */
export function widerScopes(scope: string): readonly string[] {
  const name = scope.includes('/') ? scope.replace(/[@:][^/]*$/, '') : scope
  return [...new Set([scope, ...parentsOf(name), ...wildcards(name.split('/', 1)[0] ?? '')])]
}

/** A name or path and everything above it: `h/a/b`, `h/a`, `h`. */
function parentsOf(name: string): readonly string[] {
  const parents = [name]
  for (let slash = name.lastIndexOf('/'); slash >= 0; slash = name.lastIndexOf('/', slash - 1)) {
    parents.push(name.slice(0, slash))
    if (slash === 0) break
  }
  return parents
}

// The host without its port is no scope of `host:port`, but its domains are: c/image does the same.
function wildcards(registry: string): readonly string[] {
  if (registry.startsWith('[')) return []
  const labels = (registry.split(':', 1)[0] ?? '').split('.')
  return labels.slice(1).map((_, index) => `*.${labels.slice(index + 1).join('.')}`)
}

function storageScopes(identity: ImageIdentity & { transport: 'containers-storage' }): readonly string[] {
  const { driver, root, reference, imageId } = identity
  const store = `[${driver}@${root}]`
  const exact = reference ? exactDocker(reference).map((scope) => store + scope) : []
  const withId = imageId === undefined ? [] : [...exact.slice(0, 1).map((scope) => `${scope}@${imageId}`), `${store}@${imageId}`]
  const names = reference ? parentsOf(reference.name).map((scope) => store + scope) : []
  return [...withId, ...exact, ...names, store, `[${root}]`]
}

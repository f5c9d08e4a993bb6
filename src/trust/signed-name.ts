import { parseReference } from '../spec/reference.ts'

/** An image name as a signature or policy states it: a name without tag and digest stays without. */
export interface SignedName {
  /** `registry/repository`, normalised: `docker.io/library/busybox` for `busybox`. */
  readonly name: string
  readonly tag: string | undefined
  readonly digest: string | undefined
}

/** Parses a name that someone signed; undefined when it is none. Short names mean docker.io, as they do for the signers. */
export function parseSignedName(text: string): SignedName | undefined {
  try {
    const { name, tag, digest } = parseReference(text, { defaultRegistry: 'docker.io' })
    // parseReference gives a bare name the tag `latest`; who signs a bare name has not signed that tag.
    const named = text.split('@', 1)[0] ?? ''
    const hasTag = named.lastIndexOf(':') > named.lastIndexOf('/')
    return { name, tag: hasTag ? tag : undefined, digest }
  } catch {
    return undefined
  }
}

/** The name in full, with everything it has. */
export function formatSignedName(name: SignedName): string {
  return `${name.name}${name.tag === undefined ? '' : `:${name.tag}`}${name.digest === undefined ? '' : `@${name.digest}`}`
}

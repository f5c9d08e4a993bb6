import { resolve } from 'node:path'
import { PodlibError } from '../../errors/errors.ts'
import { formatReference, parseReference, type Reference } from '../../spec/reference.ts'
import { parseTransport } from '../../transport/parse-transport.ts'

/** Where an image can be put. */
export type DestinationPlace =
  | { readonly transport: 'docker'; readonly reference: Reference }
  | { readonly transport: 'oci' | 'oci-archive'; readonly path: string; readonly ref?: string }
  | { readonly transport: 'dir'; readonly path: string }
  | { readonly transport: 'docker-archive'; readonly path: string; readonly names: readonly string[] }
  | { readonly transport: 'docker-daemon'; readonly names: readonly string[] }

/**
 * Reads a destination: the name of an image in full, or a place with its transport.
 *
 * @throws ERR_TRANSPORT, ERR_SHORT_NAME, ERR_INVALID_REFERENCE
 */
export function parseDestination(text: string): DestinationPlace {
  const location = parseTransport(text)
  if (location === undefined) return { transport: 'docker', reference: parseReference(text) }
  switch (location.transport) {
    case 'docker':
      return { transport: 'docker', reference: parseReference(location.reference) }
    case 'dir':
      return { transport: 'dir', path: resolve(location.path) }
    case 'docker-daemon':
      if (location.image.startsWith('sha256:')) throw unusable(text, 'a daemon gives ids itself: write the name that the image is to have')
      return { transport: 'docker-daemon', names: [dockerName(location.image)] }
    case 'containers-storage':
      throw unusable(text, 'stores of other programs are only read: push to one of their registries, or let them load an archive')
    default: {
      const { transport, path, ref, index } = location
      if (index !== undefined) throw unusable(text, 'a position says which image is read, not where one is written')
      if (transport === 'docker-archive') return { transport, path: resolve(path), names: ref === undefined ? [] : [dockerName(ref)] }
      return { transport, path: resolve(path), ...(ref !== undefined && { ref }) }
    }
  }
}

/** The destination in words, as it can be given again. */
export function formatDestination(place: DestinationPlace): string {
  if (place.transport === 'docker') return formatReference(place.reference)
  if (place.transport === 'docker-daemon') return `docker-daemon:${place.names[0]}`
  const name = place.transport === 'docker-archive' ? place.names[0] : 'ref' in place ? place.ref : undefined
  return `${place.transport}:${place.path}${name === undefined ? '' : `:${name}`}`
}

/** A name as Docker understands it. It knows no digest. */
function dockerName(text: string): string {
  const { name, tag } = parseReference(text, { defaultRegistry: 'docker.io' })
  return `${name}:${tag ?? 'latest'}`
}

function unusable(text: string, why: string): PodlibError {
  return new PodlibError('ERR_TRANSPORT', `cannot write to ${JSON.stringify(text.slice(0, 300))}: ${why}`, {
    details: { location: text.slice(0, 300) },
  })
}

import { PodlibError } from '../errors/errors.ts'

/** Where an image is, as `transport:details` says. */
export type ImageLocation =
  | { readonly transport: 'docker'; readonly reference: string }
  | LayoutLocation
  | { readonly transport: 'dir'; readonly path: string }
  | { readonly transport: 'docker-daemon'; readonly image: string }
  | StorageLocation

/** A file or directory that may hold several images. */
export interface LayoutLocation {
  readonly transport: 'oci' | 'oci-archive' | 'docker-archive'
  readonly path: string
  /** Reference in the layout, or full name in a Docker archive. */
  readonly ref?: string
  /** Position, from 0. */
  readonly index?: number
}

/** An image of a store of containers/storage. */
export interface StorageLocation {
  readonly transport: 'containers-storage'
  readonly driver?: string
  readonly root?: string
  readonly runRoot?: string
  /** Name or id. */
  readonly image: string
}

const FORM = /^(docker|oci|oci-archive|docker-archive|dir|docker-daemon|containers-storage):(.*)$/s

/**
 * Reads `transport:details` as podman and skopeo write it; undefined for text without a transport, which is the name of an
 * image. A path ends at its first colon.
 *
 * @see man 5 containers-transports
 * @throws ERR_TRANSPORT
 */
export function parseTransport(text: string): ImageLocation | undefined {
  const [, transport, details = ''] = FORM.exec(text) ?? []
  if (transport === undefined) return undefined
  if (details.includes('\0')) throw invalid(text, 'it has a NUL byte')
  switch (transport) {
    case 'docker':
      if (!details.startsWith('//') || details.length === 2) throw invalid(text, "write it as 'docker://registry/name:tag'")
      return { transport, reference: details.slice(2) }
    case 'dir':
      return { transport, path: needed(text, details) }
    case 'docker-daemon':
      return { transport, image: needed(text, details) }
    case 'containers-storage':
      return { transport, ...parseStorage(text, details) }
    default:
      return { transport: transport as LayoutLocation['transport'], ...parseLayout(text, details) }
  }
}

/** `path[:ref]` or `path[:@index]`. */
function parseLayout(text: string, details: string): Omit<LayoutLocation, 'transport'> {
  const colon = details.indexOf(':')
  const path = needed(text, colon < 0 ? details : details.slice(0, colon))
  const choice = colon < 0 ? '' : details.slice(colon + 1)
  if (choice === '') return { path }
  if (!choice.startsWith('@')) return { path, ref: choice }
  if (!/^@\d{1,6}$/.test(choice)) throw invalid(text, 'after @ comes the position of an image, from 0')
  return { path, index: Number(choice.slice(1)) }
}

/** `[[driver@]root[+run][:options]]image`. */
function parseStorage(text: string, details: string): Omit<StorageLocation, 'transport'> {
  const [, store, image = ''] = /^(?:\[([^\]]*)\])?(.*)$/s.exec(details) ?? []
  if (store === undefined) return { image: needed(text, image) }
  const [, driver, root = '', runRoot] = /^(?:([^@/]*)@)?([^+:]*)(?:\+([^:]*))?(?::.*)?$/s.exec(store) ?? []
  if (root === '') throw invalid(text, 'the store has no root')
  return { ...(driver && { driver }), root, ...(runRoot && { runRoot }), image: needed(text, image) }
}

function needed(text: string, part: string): string {
  if (part === '') throw invalid(text, 'it names nothing after the transport')
  return part
}

function invalid(text: string, why: string): PodlibError {
  return new PodlibError('ERR_TRANSPORT', `cannot understand the image location ${JSON.stringify(text.slice(0, 300))}: ${why}`, {
    details: { location: text.slice(0, 300) },
  })
}

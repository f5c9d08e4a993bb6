import type { IncomingHttpHeaders, IncomingMessage, ServerResponse } from 'node:http'
import type { RegistryConf } from '../../src/registry/registries-conf.ts'
import type { Descriptor } from '../../src/spec/descriptor.ts'
import type { Digest } from '../../src/spec/digest.ts'
import type { Certificate } from './certificate.ts'

export interface FakeRegistryOptions {
  /** `basic` and `bearer` want the first of `users`, unless `anonymous`. */
  readonly auth?: 'none' | 'basic' | 'bearer'
  /** user -> password (or identity token) */
  readonly users?: Readonly<Record<string, string>>
  /** Bearer tokens are given to anybody. */
  readonly anonymous?: boolean
  readonly tokenLifetimeSeconds?: number
  /** Blobs are redirected to a second server on another port. */
  readonly redirectBlobs?: boolean
  /** Answers `Range` requests with 206; otherwise with the whole blob. */
  readonly ranges?: boolean
  readonly referrersApi?: boolean
  /** Whether the list of all repositories can be read. True if absent. */
  readonly catalog?: boolean
  /** Repositories on one page of the catalog. */
  readonly pageSize?: number
  /** What the search of protocol version 1 finds; there is none if absent. */
  readonly index?: readonly Readonly<Record<string, unknown>>[]
  readonly certificate?: Certificate
  /** Takes pushes. Repositories then have blobs of their own: those that were pushed to them. */
  readonly uploads?: FakeUploadOptions
}

export interface FakeUploadOptions {
  /** How a `Location` is written. `relative` if absent; a function gets the path with query. */
  readonly location?: 'relative' | 'absolute' | ((path: string) => string)
  /** Keeps nothing of a request that broke. */
  readonly forgetful?: boolean
  /** Mounts nothing; what is asked for becomes an upload. */
  readonly noMounts?: boolean
  /** Says that it lists manifests among the referrers of their subjects. */
  readonly subjects?: boolean
}

/** What goes wrong with the requests that a fault matches. Without `times` it does every time. */
export interface Fault {
  readonly times?: number
  readonly delayMs?: number
  readonly status?: number
  readonly headers?: Readonly<Record<string, string | readonly string[]>>
  /** Instead of the real body. */
  readonly body?: Buffer | string
  /** Closes the connection after that many bytes of the body. */
  readonly cutAfter?: number
  /** Stops sending after that many bytes, and keeps the connection open. */
  readonly stallAfter?: number
  /** Ends the answer properly after that many bytes. */
  readonly truncateAfter?: number
  /** Flips one bit of the body. */
  readonly corrupt?: boolean
  /** Sends spaces until the client goes away. */
  readonly endless?: boolean
  /** Leaves `Content-Length` out. */
  readonly noLength?: boolean
  /** Answers without having read what was sent. */
  readonly early?: boolean
  /** Closes the connection after that many bytes of what is sent. */
  readonly cutRequestAfter?: number
  /** Does the answering itself. */
  readonly answer?: (request: IncomingMessage, response: ServerResponse) => void
}

export interface RecordedRequest {
  readonly server: 'registry' | 'token' | 'storage'
  readonly method: string
  /** With query. */
  readonly path: string
  readonly headers: IncomingHttpHeaders
  body: string
  /** How many bytes were sent. */
  bodyLength: number
}

export interface AddImageOptions {
  readonly tag?: string
  readonly layers?: readonly (
    | Buffer
    | { readonly bytes: Buffer; readonly mediaType?: string; readonly urls?: readonly string[]; readonly diffId?: Digest }
  )[]
  /** Merged into the config document. */
  readonly config?: Readonly<Record<string, unknown>>
  /** Merged into the manifest document. */
  readonly manifest?: Readonly<Record<string, unknown>>
}

export interface AddedImage {
  readonly descriptor: Descriptor
  readonly config: Descriptor
  readonly layers: readonly Descriptor[]
}

/** An in-process registry on loopback. */
export interface FakeRegistry {
  /** `127.0.0.1:port`, the registry part of image names. */
  readonly host: string
  readonly url: string
  readonly tokenUrl: string
  readonly storageUrl: string
  readonly requests: RecordedRequest[]
  /** An entry for registries.conf that makes a plain HTTP registry usable. */
  readonly conf: RegistryConf
  addBlob(bytes: Buffer, mediaType?: string): Descriptor
  addManifest(repository: string, document: unknown, options?: { mediaType?: string; tag?: string; raw?: Buffer }): Descriptor
  addImage(repository: string, options?: AddImageOptions): AddedImage
  addIndex(repository: string, manifests: readonly Descriptor[], options?: { tag?: string }): Descriptor
  /** Requests whose path (with query, or with method and query: `PUT /v2/..`) matches get the fault; the last one that was added wins. */
  fault(match: RegExp, fault: Fault): void
  /** What a repository was pushed. */
  pushed(repository: string, digestOrTag: string): Buffer | undefined
  /** Uploads that are neither closed nor cancelled. */
  openUploads(): readonly string[]
  /** Takes back all tokens that were given out. */
  revokeTokens(): void
  close(): Promise<void>
}

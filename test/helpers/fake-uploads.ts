import type { IncomingMessage } from 'node:http'
import { digestOf } from '../../src/spec/digest.ts'
import type { FakeUploadOptions, Fault, RecordedRequest } from './fake-registry-types.ts'

/* The pushing half of the fake registry. */

export interface Stored {
  readonly bytes: Buffer
  readonly mediaType: string
}

export interface Answer {
  readonly status: number
  readonly bytes: Buffer
  readonly headers: Readonly<Record<string, string>>
  readonly head?: boolean
}

export interface FakeUploads {
  /** Reads what is sent; a part of an upload is kept also when the connection breaks. */
  read(request: IncomingMessage, record: RecordedRequest, fault: Fault): Promise<Buffer>
  /** The answer to a push; undefined for what is none. */
  answer(request: IncomingMessage, url: URL, body: Buffer): Answer | undefined
  open(): readonly string[]
}

interface Store {
  readonly blobs: Map<string, Stored>
  readonly manifests: Map<string, Stored>
  readonly options: FakeUploadOptions | undefined
  readonly url: () => string
}

export function createFakeUploads({ blobs, manifests, options, url: base }: Store): FakeUploads {
  const uploads = new Map<string, Buffer>()
  let count = 0

  const uploadId = (path: string) => /\/blobs\/uploads\/([^/?]+)/.exec(path)?.[1]
  const keep = (id: string, bytes: Buffer) => uploads.set(id, Buffer.concat([uploads.get(id) ?? Buffer.alloc(0), bytes]))

  function location(repository: string, id: string): string {
    const path = `/v2/${repository}/blobs/uploads/${id}?_state=a%2Bb==&at=${uploads.get(id)?.length ?? 0}`
    const { location: form = 'relative' } = options ?? {}
    return typeof form === 'function' ? form(path) : form === 'absolute' ? base() + path : path
  }

  function status(code: number, repository: string, id: string): Answer {
    const end = Math.max(0, (uploads.get(id)?.length ?? 0) - 1)
    return {
      status: code,
      bytes: Buffer.alloc(0),
      headers: { location: location(repository, id), range: `0-${end}`, 'docker-upload-uuid': id },
    }
  }

  function start(repository: string, url: URL): Answer {
    const [digest, from] = [url.searchParams.get('mount'), url.searchParams.get('from')]
    const mounted = options?.noMounts ? undefined : blobs.get(`${from}@${digest}`)
    if (mounted) return created(repository, mounted.bytes)
    const id = `upload-${++count}`
    uploads.set(id, Buffer.alloc(0))
    return status(202, repository, id)
  }

  function created(repository: string, bytes: Buffer): Answer {
    const digest = digestOf(bytes)
    for (const key of [digest, `${repository}@${digest}`]) blobs.set(key, { bytes, mediaType: 'application/octet-stream' })
    const headers = { location: `/v2/${repository}/blobs/${digest}`, 'docker-content-digest': digest }
    return { status: 201, bytes: Buffer.alloc(0), headers }
  }

  function goOn(request: IncomingMessage, url: URL, { repository, id, body }: { repository: string; id: string; body: Buffer }): Answer {
    const has = uploads.get(id)
    if (!has) return refusal(404, 'BLOB_UPLOAD_UNKNOWN')
    if (request.method === 'GET') return status(204, repository, id)
    if (request.method === 'DELETE') {
      uploads.delete(id)
      return { status: 204, bytes: Buffer.alloc(0), headers: {} }
    }
    const from = /^(\d+)-\d+$/.exec(request.headers['content-range'] ?? '')?.[1]
    if (from !== undefined && Number(from) !== has.length) return refusal(416, 'RANGE_INVALID')
    const whole = keep(id, body).get(id) ?? Buffer.alloc(0)
    if (request.method === 'PATCH') return status(202, repository, id)
    uploads.delete(id)
    return digestOf(whole) === url.searchParams.get('digest') ? created(repository, whole) : refusal(400, 'DIGEST_INVALID')
  }

  function putManifest(request: IncomingMessage, { repository, name, body }: { repository: string; name: string; body: Buffer }): Answer {
    const digest = digestOf(body)
    const mediaType = request.headers['content-type'] ?? ''
    for (const key of [digest, name]) manifests.set(`${repository}@${key}`, { bytes: body, mediaType })
    const { subject } = JSON.parse(body.toString()) as { subject?: { digest: string } }
    const headers = { location: `/v2/${repository}/manifests/${digest}`, 'docker-content-digest': digest }
    return {
      status: 201,
      bytes: Buffer.alloc(0),
      headers: { ...headers, ...(subject && options?.subjects && { 'oci-subject': subject.digest }) },
    }
  }

  return {
    async read(request, record, fault) {
      const chunks: Buffer[] = []
      const id = uploadId(record.path)
      try {
        for await (const chunk of request as AsyncIterable<Buffer>) {
          chunks.push(chunk)
          record.bodyLength += chunk.length
          if (record.bodyLength >= (fault.cutRequestAfter ?? Number.POSITIVE_INFINITY)) request.socket.destroy()
        }
      } catch {
        // It ended early, by our fault or by the client's.
      }
      const bytes = Buffer.concat(chunks)
      if (id === undefined) record.body = bytes.toString()
      else if (!request.complete && !options?.forgetful && uploads.has(id)) keep(id, bytes)
      return bytes
    },
    answer(request, url, body) {
      if (!options) return undefined
      const [, repository = '', id] = /^\/v2\/(.+)\/blobs\/uploads\/([^/]*)$/.exec(url.pathname) ?? []
      if (id === '') return start(repository, url)
      if (id !== undefined) return goOn(request, url, { repository, id, body })
      const [, place = '', name = ''] = /^\/v2\/(.+)\/manifests\/([^/]+)$/.exec(url.pathname) ?? []
      return request.method === 'PUT' && name !== '' ? putManifest(request, { repository: place, name, body }) : undefined
    },
    open: () => [...uploads.keys()],
  }
}

export function json(status: number, document: unknown, headers: Record<string, string> = {}): Answer {
  return { status, bytes: Buffer.from(JSON.stringify(document)), headers: { 'content-type': 'application/json', ...headers } }
}

function refusal(status: number, code: string): Answer {
  return json(status, { errors: [{ code, message: 'no' }] })
}

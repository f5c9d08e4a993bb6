import { spawn } from 'node:child_process'
import { createHash } from 'node:crypto'
import { createReadStream, createWriteStream } from 'node:fs'
import { mkdir, readFile, rename, stat, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { PassThrough, type Readable } from 'node:stream'
import { pipeline } from 'node:stream/promises'

/** A layer of an image to be made: an uncompressed tar, and how it is stored. */
export interface LayerSource {
  readonly tar: string
  readonly compression: 'gzip' | 'zstd' | 'none'
}

export interface ImageSource {
  readonly layers: readonly LayerSource[]
  /** The `config` part of the image config: `Cmd`, `Env`, `User` and so on. */
  readonly run?: Readonly<Record<string, unknown>>
  readonly tag: string
}

interface Blob {
  readonly digest: string
  readonly size: number
}

const LAYER_TYPE = 'application/vnd.oci.image.layer.v1.tar'
const MANIFEST_TYPE = 'application/vnd.oci.image.manifest.v1+json'
const SUFFIX = { gzip: '+gzip', zstd: '+zstd', none: '' } as const
const COMPRESSORS = { gzip: ['gzip', '-6', '-n', '-c'], zstd: ['zstd', '-3', '-q', '-c'] } as const

/**
 * Writes an image as an OCI layout into `directory` by means that share nothing with podlib: the compressors of the
 * system and a few lines of JSON.
 */
export async function writeOciLayout(directory: string, image: ImageSource): Promise<void> {
  await mkdir(join(directory, 'blobs/sha256'), { recursive: true })
  const layers: object[] = []
  const diffIds: string[] = []
  for (const { tar, compression } of image.layers) {
    const blob = await addBlob(directory, compress(tar, compression))
    layers.push({ mediaType: `${LAYER_TYPE}${SUFFIX[compression]}`, ...blob })
    diffIds.push(`sha256:${await hashFile(tar)}`)
  }
  const architecture = process.arch === 'x64' ? 'amd64' : process.arch
  const config = {
    created: '2024-01-01T00:00:00Z',
    architecture,
    os: 'linux',
    config: image.run ?? {},
    rootfs: { type: 'layers', diff_ids: diffIds },
  }
  const configBlob = await addJson(directory, config)
  const manifest = await addJson(directory, {
    schemaVersion: 2,
    mediaType: MANIFEST_TYPE,
    config: { mediaType: 'application/vnd.oci.image.config.v1+json', ...configBlob },
    layers,
  })
  const entry = { mediaType: MANIFEST_TYPE, ...manifest, annotations: { 'org.opencontainers.image.ref.name': image.tag } }
  await writeFile(join(directory, 'oci-layout'), '{"imageLayoutVersion":"1.0.0"}')
  await writeFile(
    join(directory, 'index.json'),
    JSON.stringify({ schemaVersion: 2, manifests: [...(await otherManifests(directory, image.tag)), entry] }),
  )
}

async function otherManifests(directory: string, tag: string): Promise<object[]> {
  const index = await readFile(join(directory, 'index.json'), 'utf8').catch(() => '{"manifests":[]}')
  const { manifests } = JSON.parse(index) as { manifests: { annotations?: Record<string, string> }[] }
  return manifests.filter(({ annotations }) => annotations?.['org.opencontainers.image.ref.name'] !== tag)
}

function compress(tar: string, compression: LayerSource['compression']): Readable {
  if (compression === 'none') return createReadStream(tar)
  const [program, ...args] = COMPRESSORS[compression]
  const child = spawn(program, [...args, tar], { stdio: ['ignore', 'pipe', 'inherit'] })
  const output = new PassThrough()
  child.once('error', (error) => output.destroy(error))
  child.once('close', (code) => (code === 0 ? output.end() : output.destroy(new Error(`${program} of ${tar} ended with ${code}`))))
  child.stdout.pipe(output, { end: false })
  return output
}

async function addJson(directory: string, value: unknown): Promise<Blob> {
  const bytes = Buffer.from(JSON.stringify(value))
  const hex = createHash('sha256').update(bytes).digest('hex')
  await writeFile(join(directory, 'blobs/sha256', hex), bytes)
  return { digest: `sha256:${hex}`, size: bytes.length }
}

async function addBlob(directory: string, content: Readable): Promise<Blob> {
  const incoming = join(directory, 'blobs/incoming')
  const hash = createHash('sha256')
  content.on('data', (chunk) => hash.update(chunk))
  await pipeline(content, createWriteStream(incoming))
  const hex = hash.digest('hex')
  await rename(incoming, join(directory, 'blobs/sha256', hex))
  return { digest: `sha256:${hex}`, size: (await stat(join(directory, 'blobs/sha256', hex))).size }
}

async function hashFile(path: string): Promise<string> {
  const hash = createHash('sha256')
  for await (const chunk of createReadStream(path, { highWaterMark: 1 << 20 })) hash.update(chunk)
  return hash.digest('hex')
}

import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { digestOf } from '../../src/spec/digest.ts'
import { writeSmallImage } from './small-image.ts'

/** An image for amd64 and arm64, with one layer in common, as a layout with the tag `multi`; gives the digest of the index. */
export async function writeMultiPlatform(layout: string): Promise<string> {
  await writeSmallImage(layout)
  const file = (digest: string) => join(layout, 'blobs/sha256', digest.slice(7))
  const read = (digest: string) => JSON.parse(readFileSync(file(digest), 'utf8'))
  const write = (mediaType: string, document: object) => {
    const bytes = Buffer.from(JSON.stringify(document))
    writeFileSync(file(digestOf(bytes)), bytes)
    return { mediaType, digest: digestOf(bytes), size: bytes.length }
  }
  const index = JSON.parse(readFileSync(join(layout, 'index.json'), 'utf8'))
  const manifest = read(index.manifests[0].digest)
  const manifests = ['amd64', 'arm64'].map((architecture) => {
    const config = write(`application/vnd.oci.image.config.v1+json`, { ...read(manifest.config.digest), architecture })
    return { ...write(`application/vnd.oci.image.manifest.v1+json`, { ...manifest, config }), platform: { os: 'linux', architecture } }
  })
  const root = write(`application/vnd.oci.image.index.v1+json`, {
    schemaVersion: 2,
    mediaType: `application/vnd.oci.image.index.v1+json`,
    manifests,
  })
  const entry = { ...root, annotations: { 'org.opencontainers.image.ref.name': 'multi' } }
  writeFileSync(join(layout, 'index.json'), JSON.stringify({ ...index, manifests: [...index.manifests, entry] }))
  return root.digest
}

import { execFileSync } from 'node:child_process'
import { createHash, randomBytes } from 'node:crypto'
import { closeSync, constants, openSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { gzipSync, zstdCompressSync } from 'node:zlib'
import { describe, expect, test } from '@jest/globals'
import { PodlibError } from '../../../../../src/errors/errors.ts'
import { type LayerContentInput, openLayerContent } from '../../../../../src/host/jobs/unpack/layer-content.ts'
import { ThreadedContent } from '../../../../../src/host/jobs/unpack/threaded-content.ts'
import { digestOf } from '../../../../../src/spec/digest.ts'
import { temporaryDirectories } from '../../../../helpers/temporary-directory.ts'

const directory = temporaryDirectories()
const WAYS = [
  ['this thread', openLayerContent],
  ['a thread of its own', (input: LayerContentInput, signal: AbortSignal) => new ThreadedContent(input, signal)],
] as const
/** More than one chunk, and no multiple of one. */
const TAR = Buffer.concat([randomBytes(3_000_000), Buffer.alloc(9_000_000), randomBytes(123)])
const GZIP = gzipSync(TAR)
const DAMAGED = Buffer.from(GZIP).fill(0, 1_000_000, 1_001_000)

function inputOf(blob: Buffer, expected: Partial<LayerContentInput> = {}): LayerContentInput {
  const path = join(directory(), 'blob')
  writeFileSync(path, blob)
  return { source: { path }, blob: { digest: digestOf(blob), size: blob.length }, diffId: digestOf(TAR), ...expected }
}

describe.each(WAYS)('read by %s', (_way, openContent) => {
  /** Hash of all chunks, and what was proven of them. */
  async function readAll(input: LayerContentInput, signal = new AbortController().signal) {
    const content = openContent(input, signal)
    const hash = createHash('sha256')
    try {
      for await (const chunk of content.chunks()) hash.update(chunk)
      return { ...(await content.prove()), seen: `sha256:${hash.digest('hex')}`, bytes: content.bytes }
    } catch (error) {
      throw await content.blame(error)
    } finally {
      await content.close()
    }
  }

  test.each([
    ['gzip', GZIP],
    ['gzip in members', Buffer.concat([gzipSync(TAR.subarray(0, 5_000_001)), gzipSync(TAR.subarray(5_000_001))])],
    ['zstd', zstdCompressSync(TAR)],
    ['nothing', TAR],
  ])('a tar in %s comes out whole and proven', async (_compression, blob) => {
    const digests = { blobDigest: digestOf(blob), blobSize: blob.length, diffId: digestOf(TAR) }
    await expect(readAll(inputOf(blob))).resolves.toEqual({ ...digests, seen: digestOf(TAR), bytes: blob.length })
    await expect(readAll(inputOf(blob, { blob: undefined, diffId: undefined }))).resolves.toMatchObject(digests)
  })

  test('a part of a file is a blob too', async () => {
    const { source } = inputOf(Buffer.concat([Buffer.from('before'), GZIP, Buffer.from('behind')]))
    const blob = { digest: digestOf(GZIP), size: GZIP.length }
    const part = { ...source, range: { offset: 6, size: GZIP.length } }
    await expect(readAll({ source: part, blob, diffId: undefined })).resolves.toMatchObject({ seen: digestOf(TAR) })
  })

  test('an empty blob gives nothing', async () => {
    const nothing = inputOf(Buffer.alloc(0), { blob: undefined, diffId: undefined })
    await expect(readAll(nothing)).resolves.toMatchObject({ seen: digestOf(''), blobSize: 0 })
  })

  const other = { digest: digestOf('other'), size: undefined }
  test.each([
    ['a blob of another digest', GZIP, { blob: other }, 'ERR_DIGEST_MISMATCH'],
    ['a blob of another size', GZIP, { blob: { ...other, size: 100 } }, 'ERR_SIZE_MISMATCH'],
    ['another tar', GZIP, { diffId: digestOf('other') }, 'ERR_DIGEST_MISMATCH'],
    ['a damaged gzip that is as promised', DAMAGED, {}, 'ERR_COMPRESSION_INVALID'],
    ['a damaged gzip that is another than promised', DAMAGED, { blob: other }, 'ERR_DIGEST_MISMATCH'],
    ['xz', Buffer.from('fd377a585a0000', 'hex'), {}, 'ERR_COMPRESSION_UNSUPPORTED'],
  ])('%s is refused', async (_what, blob, expected, code) => {
    await expect(readAll(inputOf(blob, expected))).rejects.toMatchObject({ code })
  })

  test.each([
    ['ERR_LAYER_INVALID', digestOf(GZIP)],
    ['ERR_DIGEST_MISMATCH', digestOf('other')],
  ])('who cannot use a chunk gets %s as the reason', async (code, digest) => {
    const content = openContent(inputOf(GZIP, { blob: { digest, size: GZIP.length } }), new AbortController().signal)
    for await (const _first of content.chunks()) break
    await expect(content.blame(new PodlibError('ERR_LAYER_INVALID', 'no tar'))).resolves.toMatchObject({ code })
    await content.close()
  })

  test('an abort ends the waiting for bytes', async () => {
    const path = join(directory(), 'silent')
    execFileSync('mkfifo', [path])
    const writer = openSync(path, constants.O_RDWR)
    const abort = new AbortController()
    const reading = readAll({ source: { path }, blob: undefined, diffId: undefined }, abort.signal)
    setTimeout(() => abort.abort(), 100)
    await expect(reading).rejects.toMatchObject({ name: 'AbortError' })
    closeSync(writer)
  })
})

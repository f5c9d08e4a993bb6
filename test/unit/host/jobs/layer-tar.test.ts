import { execFileSync } from 'node:child_process'
import { openSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { gunzipSync, zstdDecompressSync } from 'node:zlib'
import { describe, expect, test } from '@jest/globals'
import { writeLayerTar } from '../../../../src/host/jobs/layer-tar.ts'
import { digestOf } from '../../../../src/spec/digest.ts'
import { layerBench } from '../../../helpers/layers.ts'
import { SMALL_TAR } from '../../../helpers/odd-layers.ts'
import { tar } from '../../../helpers/tar-builder.ts'

const bench = layerBench()

const signal = new AbortController().signal

describe('writeLayerTar', () => {
  test('writes the tar to a path or a descriptor, and says what it wrote', async () => {
    const { directory } = await bench.unpack(SMALL_TAR)
    const target = join(bench.path, 'out')
    const expected = { diffId: digestOf(SMALL_TAR), size: SMALL_TAR.length, blobDigest: digestOf(SMALL_TAR), blobSize: SMALL_TAR.length }
    expect(await writeLayerTar({ directory, target, diffId: digestOf(SMALL_TAR) }, { signal })).toEqual(expected)
    expect(await writeLayerTar({ directory, target: openSync(target, 'w') }, { signal })).toEqual(expected)
    expect(readFileSync(target).equals(SMALL_TAR)).toBe(true)
  })

  test.each([
    ['gzip', gunzipSync],
    ['zstd', zstdDecompressSync],
  ] as const)('compresses with %s', async (compression, decompress) => {
    const { directory } = await bench.unpack(SMALL_TAR)
    const target = join(bench.path, `out.${compression}`)
    const written = await writeLayerTar({ directory, target, compression }, { signal })
    const blob = readFileSync(target)
    expect(written).toMatchObject({ diffId: digestOf(SMALL_TAR), blobDigest: digestOf(blob), blobSize: blob.length })
    expect(decompress(blob).equals(SMALL_TAR)).toBe(true)
  })

  test('large content and content that was replaced', async () => {
    const big = Buffer.from(Array.from({ length: 3_000_000 }, (_, index) => index * 7919))
    const bytes = tar(
      { name: 'x', content: big },
      { name: 'd/x', content: 'first' },
      { name: 'd/x', content: 'second' },
      { name: 'd', content: 'third' },
      { name: 'y', type: '1', linkName: 'x' },
      { name: 'x', content: 'small' },
    )
    const { directory } = await bench.unpack(bytes)
    expect((await bench.tarOf(directory)).equals(bytes)).toBe(true)
    expect(readdirSync(join(directory, 'replaced')).sort()).toEqual(['0', '1', '2'])
  })

  test.each<[string, (directory: string) => void]>([
    ['a file was changed', (directory) => writeFileSync(join(directory, 'fs/a/x'), 'y'.repeat(2000))],
    ['a file was made shorter', (directory) => writeFileSync(join(directory, 'fs/a/x'), '')],
    ['a file was removed', (directory) => rmSync(join(directory, 'fs/a/x'))],
    ['a file became a link', (directory) => execFileSync('ln', ['-sf', '/etc/passwd', join(directory, 'fs/a/x')])],
  ])('fails when %s', async (_, change) => {
    const { directory } = await bench.unpack(SMALL_TAR)
    change(directory)
    await expect(bench.tarOf(directory)).rejects.toMatchObject({ code: 'ERR_STORE_CORRUPT' })
  })

  test('fails when the layer is not the one on record', async () => {
    const { directory } = await bench.unpack(SMALL_TAR)
    const running = writeLayerTar({ directory, target: join(bench.path, 'wrong'), diffId: digestOf('other') }, { signal })
    await expect(running).rejects.toMatchObject({ code: 'ERR_STORE_CORRUPT' })
  })

  test('an abort rejects with the reason', async () => {
    const { directory } = await bench.unpack(tar({ name: 'x', content: Buffer.alloc(30_000_000) }))
    const abort = new AbortController()
    const reason = new Error('enough')
    const running = writeLayerTar({ directory, target: join(bench.path, 'aborted'), compression: 'gzip' }, { signal: abort.signal })
    setTimeout(() => abort.abort(reason), 20)
    await expect(running).rejects.toBe(reason)
    expect(statSync(join(directory, 'fs/x')).size).toBe(30_000_000)
  })
})

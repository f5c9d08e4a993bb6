import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { gzipSync } from 'node:zlib'
import { describe, expect, test } from '@jest/globals'
import { readTarSplit } from '../../../src/archive/tar-split.ts'
import { temporaryDirectories } from '../../helpers/temporary-directory.ts'

const directory = temporaryDirectories()

async function read(text: string): Promise<string[]> {
  const path = join(directory(), 'layer.tar-split.gz')
  writeFileSync(path, gzipSync(text))
  const parts: string[] = []
  for await (const part of readTarSplit(path))
    parts.push(part.kind === 'raw' ? part.bytes.toString('latin1') : `${part.name.toString('latin1')} ${part.size}`)
  return parts
}

const line = (entry: object) => `${JSON.stringify(entry)}\n`
const base64 = (text: string) => Buffer.from(text, 'latin1').toString('base64')

describe('readTarSplit', () => {
  test('gives headers as they are, and files by name and size', async () => {
    const text =
      line({ type: 2, payload: base64('header'), position: 0 }) +
      line({ type: 1, name: 'dir/', payload: null, position: 1 }) +
      line({ type: 2, payload: '', position: 2 }) +
      line({ type: 1, name: 'dir/ü', size: 12, payload: 'crc', position: 3 }) +
      line({ type: 1, name_raw: base64('dir/\xff'), size: 1, payload: 'crc', position: 4 })
    expect(await read(text)).toEqual(['header', '', Buffer.from('dir/ü 12').toString('latin1'), 'dir/\xff 1'])
  })

  test('puts lines together that are longer than what is read at a time', async () => {
    const long = 'x'.repeat(3_000_000)
    expect(await read(line({ type: 2, payload: base64(long) }) + line({ type: 1, name: 'a', size: 1 }))).toEqual([long, 'a 1'])
  })

  test.each([
    ['no JSON', 'nothing\n'],
    ['another kind of entry', line({ type: 3 })],
    ['a segment without bytes', line({ type: 2 })],
    ['a size that is none', line({ type: 1, name: 'a', size: -1 })],
    ['a file without a name', line({ type: 1, size: 1 })],
    ['nothing but null', 'null\n'],
    ['half a line', line({ type: 2, payload: '' }).slice(0, -3)],
  ])('refuses %s', async (_what, text) => {
    await expect(read(text)).rejects.toMatchObject({ code: 'ERR_STORE_CORRUPT' })
  })

  test('refuses a line without an end', async () => {
    await expect(read('x'.repeat(65 * 1024 * 1024))).rejects.toMatchObject({ code: 'ERR_STORE_CORRUPT' })
  })

  test('says that a layer has no record', async () => {
    const reading = async () => {
      for await (const _ of readTarSplit(join(directory(), 'none')));
    }
    await expect(reading()).rejects.toMatchObject({ code: 'ERR_STORE_UNSUPPORTED' })
  })
})

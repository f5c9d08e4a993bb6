import { existsSync, mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { gzipSync } from 'node:zlib'
import { expect, test } from '@jest/globals'
import { type UnpackContextInput, unpackContext } from '../../src/host/jobs/unpack-context.ts'
import { failure } from '../helpers/registry-world.ts'
import { type TarBlock, tar } from '../helpers/tar-builder.ts'
import { temporaryDirectories } from '../helpers/temporary-directory.ts'

const directory = temporaryDirectories()
const { signal } = new AbortController()

/** A place with a victim beside the directory that is unpacked into. */
function place(content: Buffer) {
  const parent = directory()
  const [source, target, victim] = [join(parent, 'source'), join(parent, 'context'), join(parent, 'victim')]
  writeFileSync(source, content)
  mkdirSync(victim)
  writeFileSync(join(victim, 'file'), 'untouched')
  const unpack = (more: Partial<UnpackContextInput> = {}) => unpackContext({ source, directory: target, ...more }, { signal })
  return { parent, target, victim, unpack }
}

const link = (name: string, linkName: string): TarBlock => ({ name, type: '2', linkName, size: 0 })
const hardLink = (name: string, linkName: string): TarBlock => ({ name, type: '1', linkName, size: 0 })
const evil = (name: string): TarBlock => ({ name, content: 'evil' })

test.each<[string, (victim: string) => readonly TarBlock[]]>([
  ['a name with ..', () => [evil('../victim/file')]],
  ['a name with .. in its middle', () => [evil('a/../../victim/file')]],
  ['a link to an absolute path', (victim) => [link('out', victim)]],
  ['a link that climbs out', () => [link('out', '../victim')]],
  ['a file through a link that climbs out', () => [link('out', '../victim'), evil('out/file')]],
  ['a file through two links that lead out together', () => [link('a', 'b'), link('b', '..'), evil('a/victim/file')]],
  ['a hard link to a file outside', (victim) => [hardLink('file', `${victim}/file`), evil('file')]],
  ['a hard link that climbs out', () => [hardLink('file', '../victim/file'), evil('file')]],
  ['a device', () => [{ name: 'null', type: '3', major: 1, minor: 3, size: 0 }]],
  ['a FIFO', () => [{ name: 'fifo', type: '6', size: 0 }]],
])('%s is refused, and nothing is left of the rest', async (_what, blocks) => {
  const parent = directory()
  const bytes = (victim: string) => tar({ name: 'first', content: '1' }, ...blocks(victim))
  const lab = place(bytes(join(parent, 'victim')))
  expect(await failure(lab.unpack())).toMatchObject({ code: 'ERR_ARCHIVE_INVALID', message: expect.stringContaining('build context') })
  expect(existsSync(lab.target)).toBe(false)
  expect(readdirSync(lab.victim)).toEqual(['file'])
  expect(readFileSync(join(lab.victim, 'file'), 'utf8')).toBe('untouched')
})

test('what is cut short, no tar, or damaged is refused', async () => {
  const whole = tar({ name: 'a', content: Buffer.alloc(10_000, 'x') })
  expect(await failure(place(whole.subarray(0, 5_000)).unpack())).toMatchObject({ code: 'ERR_ARCHIVE_INVALID' })
  expect(await failure(place(Buffer.alloc(2048, 'x')).unpack())).toMatchObject({ code: 'ERR_ARCHIVE_INVALID' })
  expect(await failure(place(gzipSync(whole).subarray(0, 60)).unpack())).toMatchObject({ code: 'ERR_COMPRESSION_INVALID' })
})

test('a bomb is refused when it has become too large', async () => {
  const bomb = place(gzipSync(tar({ name: 'a', content: Buffer.alloc(4 << 20) })))
  const limits = { maxBytes: 1 << 20, maxEntries: 10 }
  expect(await failure(bomb.unpack({ limits }))).toMatchObject({ code: 'ERR_ARCHIVE_TOO_LARGE' })
  expect(existsSync(bomb.target)).toBe(false)
  const many = place(tar(...Array.from({ length: 11 }, (_, index) => ({ name: `${index}`, content: '' }))))
  expect(await failure(many.unpack({ limits }))).toMatchObject({ code: 'ERR_ARCHIVE_TOO_LARGE' })
})

test('an absolute name is one inside, and nothing is setuid or of another owner', async () => {
  const lab = place(tar({ name: '/etc/passwd', content: 'inside', mode: 0o4755, uid: 1234, gid: 1234 }, link('within', 'etc/passwd')))
  await lab.unpack()
  const { mode, uid } = statSync(join(lab.target, 'etc/passwd'))
  expect([mode & 0o7777, uid]).toEqual([0o755, process.getuid?.()])
  expect(readFileSync(join(lab.target, 'within'), 'utf8')).toBe('inside')
})

import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, test } from '@jest/globals'
import { parseReference } from '../../../src/spec/reference.ts'
import { defaultLookaside, type FetchUrl, lookasideUrl, readLookaside } from '../../../src/trust/lookaside.ts'
import { MANIFEST, NAME } from '../../helpers/trust-request.ts'

const reference = parseReference(`${NAME}:1`)
const hex = MANIFEST.slice('sha256:'.length)
const limits = { maxBytes: 100, signal: undefined }

async function collect(base: string, fetchUrl: FetchUrl, signal?: AbortSignal): Promise<string[]> {
  const found: string[] = []
  for await (const bytes of readLookaside({ base, reference, digest: MANIFEST, fetchUrl }, { ...limits, signal }))
    found.push(Buffer.from(bytes).toString())
  return found
}

test.each([
  ['https://sig.test', `https://sig.test/team/app@sha256=${hex}/signature-3`],
  ['https://sig.test/base/', `https://sig.test/base/team/app@sha256=${hex}/signature-3`],
  ['http://sig.test:8080/a%20b', `http://sig.test:8080/a%20b/team/app@sha256=${hex}/signature-3`],
  ['file:///var/lib/sigstore', `file:///var/lib/sigstore/team/app@sha256=${hex}/signature-3`],
])('the address of a signature below %s', (base, url) => {
  expect(lookasideUrl(base, { reference, digest: MANIFEST, number: 3 })).toBe(url)
})

test.each(['', '/var/lib', 'ftp://x.test', 'file://host/x', 'https://x.test/?q=1', 'https://x.test/#f'])(
  'the base %j is refused',
  (base) => {
    expect(() => lookasideUrl(base, { reference, digest: MANIFEST, number: 1 })).toThrow(/not a file, http or https URL/)
  },
)

test('signatures are numbered until one does not exist', async () => {
  const asked: string[] = []
  const fetchUrl: FetchUrl = async (url) => {
    asked.push(url.slice(-1))
    return asked.length < 3 ? Buffer.from(`s${asked.length}`) : undefined
  }
  expect(await collect('https://sig.test', fetchUrl)).toEqual(['s1', 's2'])
  expect(asked).toEqual(['1', '2', '3'])
})

test('files are read, up to the bound', async () => {
  const root = await mkdtemp(join(tmpdir(), 'podlib-lookaside-'))
  try {
    const directory = join(root, `team/app@sha256=${hex}`)
    await mkdir(directory, { recursive: true })
    await writeFile(join(directory, 'signature-1'), 'one')
    expect(await collect(`file://${root}`, never)).toEqual(['one'])
    expect(await collect(`file://${root}/none`, never)).toEqual([])
    await writeFile(join(directory, 'signature-2'), 'x'.repeat(101))
    await expect(collect(`file://${root}`, never)).rejects.toThrow(/larger than 100 bytes/)
  } finally {
    await rm(root, { recursive: true })
  }
})

test('a server without end is asked for one signature more than count', async () => {
  expect(await collect('https://sig.test', async () => Buffer.from('s'))).toHaveLength(129)
})

test('a failing server fails the reading, and an abort stops it', async () => {
  await expect(collect('https://sig.test', async () => Promise.reject(new Error('503')))).rejects.toThrow('503')
  await expect(collect('https://sig.test', never, AbortSignal.abort(new Error('enough')))).rejects.toThrow('enough')
})

test('the default place is that of root or of the user', () => {
  expect([defaultLookaside(undefined), defaultLookaside('/home/u')]).toEqual([
    'file:///var/lib/containers/sigstore',
    'file:///home/u/.local/share/containers/sigstore',
  ])
})

const never: FetchUrl = () => Promise.reject(new Error('not a file'))

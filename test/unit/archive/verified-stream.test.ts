import { Readable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import { expect, test } from '@jest/globals'
import { ContentMeter, type ExpectedContent, VerifiedStream } from '../../../src/archive/verified-stream.ts'
import { digestOf } from '../../../src/spec/digest.ts'

const CONTENT = Buffer.from('some content')

async function through(expected: Partial<ExpectedContent>): Promise<{ bytes: string; digest: string | undefined }> {
  const stream = new VerifiedStream({ digest: undefined, size: undefined, what: 'thing', ...expected })
  const bytes: Buffer[] = []
  await pipeline(Readable.from([CONTENT.subarray(0, 5), CONTENT.subarray(5)]), stream, async (chunks: AsyncIterable<Buffer>) => {
    for await (const chunk of chunks) bytes.push(chunk)
  })
  return { bytes: Buffer.concat(bytes).toString(), digest: stream.digest }
}

test('passes right content on and tells its digest', async () => {
  for (const expected of [{}, { digest: digestOf(CONTENT), size: CONTENT.length }]) {
    expect(await through(expected)).toEqual({ bytes: 'some content', digest: digestOf(CONTENT) })
  }
  expect(await through({ digest: digestOf(CONTENT, 'sha512') })).toMatchObject({ digest: digestOf(CONTENT, 'sha512') })
})

test('fails on other content, and says of what', async () => {
  await expect(through({ digest: digestOf('other') })).rejects.toMatchObject({
    code: 'ERR_DIGEST_MISMATCH',
    message: expect.stringContaining('thing'),
  })
})

test('fails on more and on fewer bytes', async () => {
  await expect(through({ size: 4 })).rejects.toMatchObject({ code: 'ERR_SIZE_MISMATCH', details: { expected: 4 } })
  await expect(through({ size: 40 })).rejects.toMatchObject({ code: 'ERR_SIZE_MISMATCH', details: { expected: 40, actual: 12 } })
})

test('a meter that is asked twice says the same twice', () => {
  const right = new ContentMeter({ digest: digestOf(CONTENT), size: undefined, what: 'thing' })
  right.update(CONTENT)
  expect([right.finish(), right.finish()]).toEqual([digestOf(CONTENT), digestOf(CONTENT)])
  const wrong = new ContentMeter({ digest: digestOf('other'), size: undefined, what: 'thing' })
  wrong.update(CONTENT)
  for (const _ of ['heard', 'told']) expect(() => wrong.finish()).toThrow(expect.objectContaining({ code: 'ERR_DIGEST_MISMATCH' }))
})

import { describe, expect, test } from '@jest/globals'
import fc from 'fast-check'
import { RecordParser } from '../../../src/log/k8s-records.ts'
import type { LogRecord } from '../../../src/log/log-driver.ts'

const stamp = (second: number) => `2026-01-02T03:04:${String(second).padStart(2, '0')}.123456789+01:00`
const timeOf = (second: number) => new Date(`2026-01-02T03:04:${String(second).padStart(2, '0')}.123+01:00`)

function parse(...blocks: (string | Buffer)[]): LogRecord[] {
  const parser = new RecordParser()
  return [...blocks.flatMap((block) => parser.parse(Buffer.from(block))), ...parser.finish()]
}

describe('RecordParser', () => {
  test('reads stream, time and text of each line', () => {
    expect(parse(`${stamp(1)} stdout F hello world\n${stamp(2)} stderr F \n`)).toEqual([
      { stream: 'stdout', time: timeOf(1), text: 'hello world', partial: false },
      { stream: 'stderr', time: timeOf(2), text: '', partial: false },
    ])
  })

  test('joins parts for each stream on its own, with the time of the first', () => {
    const lines = [
      `${stamp(1)} stdout P a`,
      `${stamp(2)} stderr P x`,
      `${stamp(3)} stdout P b`,
      `${stamp(4)} stderr F y`,
      `${stamp(5)} stdout F c`,
    ]
    expect(parse(`${lines.join('\n')}\n`)).toEqual([
      { stream: 'stderr', time: timeOf(2), text: 'xy', partial: false },
      { stream: 'stdout', time: timeOf(1), text: 'abc', partial: false },
    ])
  })

  test('joins parts across blocks', () => {
    expect(parse(`${stamp(1)} stdout P a\n`, `${stamp(2)} stdout F b\n`)).toEqual([
      { stream: 'stdout', time: timeOf(1), text: 'ab', partial: false },
    ])
  })

  test('gives a line that never ended, marked', () => {
    expect(parse(`${stamp(1)} stdout P $ \n`)).toEqual([{ stream: 'stdout', time: timeOf(1), text: '$ ', partial: true }])
  })

  test('joins a character that was cut in two', () => {
    const [start, end] = [Buffer.from('€').subarray(0, 2), Buffer.from('€').subarray(2)]
    const block = Buffer.concat([
      Buffer.from(`${stamp(1)} stdout P a`),
      start,
      Buffer.from(`\n${stamp(1)} stdout F `),
      end,
      Buffer.from('b\n'),
    ])
    expect(parse(block).map(({ text }) => text)).toEqual(['a€b'])
  })

  test('leaves out what is no log line', () => {
    for (const line of [
      '',
      'x',
      'not a time stdout F text',
      `${stamp(1)} stdnot F text`,
      `${stamp(1)}`,
      `${stamp(1)} stdout`,
      `${stamp(1)} stdout F`,
    ]) {
      expect(parse(`${line}\n${stamp(2)} stdout F good\n`).map(({ text }) => text)).toEqual(['good'])
    }
  })

  test('gives back what was written, however it was split into parts and blocks', () => {
    const line = fc.record({
      stream: fc.constantFrom('stdout' as const, 'stderr' as const),
      parts: fc.array(
        fc.string({ unit: 'grapheme', maxLength: 20 }).map((text) => text.replaceAll(/[\r\n]/g, '')),
        { minLength: 1, maxLength: 4 },
      ),
      second: fc.nat(59),
    })
    fc.assert(
      fc.property(fc.array(line, { maxLength: 20 }), fc.nat(100), (lines, cut) => {
        const written = lines.flatMap(({ stream, parts, second }) =>
          parts.map((part, index) => `${stamp(second)} ${stream} ${index === parts.length - 1 ? 'F' : 'P'} ${part}\n`),
        )
        const at = Math.min(cut, written.length)
        const records = parse(written.slice(0, at).join(''), written.slice(at).join(''))
        expect(records.map(({ stream, text, time }) => ({ stream, text, time }))).toEqual(
          lines.map(({ stream, parts, second }) => ({ stream, text: parts.join(''), time: timeOf(second) })),
        )
      }),
    )
  })
})

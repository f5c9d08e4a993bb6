import { describe, expect, test } from '@jest/globals'
import { buildImages } from '../../../../src/image/build/images.ts'
import { parseContainerfile } from '../../../../src/image/build/instructions.ts'
import { expandWord, splitWords } from '../../../../src/image/build/words.ts'

const HOST = { os: 'linux', architecture: 'amd64' }
const ARM = { os: 'linux', architecture: 'arm64' }

function images(text: string, options: Partial<Parameters<typeof buildImages>[0]> = {}) {
  return buildImages({ text, args: {}, target: undefined, contexts: [], platform: ARM, buildPlatform: HOST, ...options })
}
const names = (...args: Parameters<typeof images>) => images(...args).map(({ name }) => name)

describe('the images of a Containerfile', () => {
  test('are those of FROM, COPY --from and RUN --mount, but not stages, scratch or contexts', () => {
    const text = [
      'FROM one:1 AS a',
      'FROM scratch AS B',
      'copy --from=a --chown=1:1 / /',
      'COPY --from=two:2 / /',
      'FROM b',
      'COPY --from=0 --from="three" / /',
      'RUN --mount=type=bind,from=four:4,target=/mnt --network=none cp --from=not /mnt /',
      'ADD --chown=1 --from=mine / /',
    ].join('\n')
    expect(names(text, { contexts: ['mine'] })).toEqual(['one:1', 'two:2', 'three', 'four:4'])
  })

  test('are only those that the target needs', () => {
    const text = 'FROM one AS a\nFROM two AS b\nFROM a AS c\nCOPY --from=three / /\nFROM b'
    expect(names(text)).toEqual(['two'])
    expect(names(text, { target: 'C' })).toEqual(['one', 'three'])
    expect(names(text, { target: '0' })).toEqual(['one'])
    expect(() => names(text, { target: 'd' })).toThrow(/no stage "d"; its stages are a, b, c/)
  })

  test('come from arguments before the first stage, which options replace', () => {
    const text = `ARG TAG=3 OS="alpine"\nARG IMAGE=$OS:\${TAG}\nFROM --platform=$BUILDPLATFORM \${IMAGE:-x} AS y\nARG TAG=9\nFROM debian:$TAG-$TARGETARCH`
    expect(images(text, { target: 'y' })).toEqual([{ written: `\${IMAGE:-x}`, name: 'alpine:3', platform: 'linux/amd64', line: 3 }])
    expect(names(text, { args: { TAG: '4', UNKNOWN: 'z' } })).toEqual(['debian:4-arm64'])
  })

  test('are never places of this machine, and none is an error', () => {
    for (const name of [
      'oci:/etc',
      'docker-archive:/a.tar',
      'docker-daemon:a:b',
      'dir:/',
      'containers-storage:a',
      'docker://a/b',
      'https://a/b',
    ])
      expect(() => names(`FROM ${name}`)).toThrow(/must name an image|no transport|cannot/)
    expect(() => names('FROM $NONE')).toThrow(/line 1: FROM \$NONE names no image/)
    expect(() => names(`FROM \${A%b}`)).toThrow(/cannot tell/)
    expect(() => names('# nothing\nRUN true')).toThrow(/no FROM/)
  })
})

describe('instructions', () => {
  const parsed = (text: string) => parseContainerfile(text).instructions.map(({ name, rest }) => `${name} ${rest}`)

  test('go on over comments, empty lines and blanks behind the backslash', () => {
    expect(parsed('FROM a\r\nRUN one \\ \n# comment\n\n  two \\\n  three\n# FROM b\nCMD x')).toEqual([
      'FROM a',
      'RUN one   two   three',
      'CMD x',
    ])
  })

  test('may go on with another character, which a directive names', () => {
    expect(parsed('# syntax=x\n# escape=`\nFROM a\nRUN c:\\`\n b')).toEqual(['FROM a', 'RUN c:\\ b'])
  })

  test('have documents behind them that are none', () => {
    expect(parsed('FROM a\nRUN <<EOF cat && cat <<-"B"\nFROM b\nEOF\nFROM c\n\tB\nCOPY <<x /x\nFROM d\nx\nCMD y')).toEqual([
      'FROM a',
      'RUN <<EOF cat && cat <<-"B"',
      'COPY <<x /x',
      'CMD y',
    ])
    expect(parsed('FROM a\nRUN cat <<<word; echo $((1<<n))\nFROM b')).toHaveLength(3)
  })
})

describe('words', () => {
  test('lose their quotes, and variables get their values', () => {
    const variables = new Map([
      ['A', 'a'],
      ['EMPTY', ''],
    ])
    const cases: Record<string, string | undefined> = {
      '$A-${A}b': 'a-ab',
      '"$A" c': 'a c',
      "'$A'": '$A',
      '\\$A': '$A',
      '${N:-$A}': 'a',
      '${EMPTY:-x}${EMPTY-x}': 'x',
      '${A:+y}${N+y}': 'y',
      $N: '',
      $1: '$1',
      '${A#b}': undefined,
    }
    for (const [word, value] of Object.entries(cases)) expect(expandWord(word, variables)).toBe(value)
    expect(splitWords('a  "b c" d\\ e \'f "g\'')).toEqual(['a', '"b c"', 'd\\ e', "'f \"g'"])
  })
})

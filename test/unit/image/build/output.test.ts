import { expect, test } from '@jest/globals'
import type { BuildProgress } from '../../../../src/image/build/options.ts'
import { buildProgressKey, lineSplitter, parseStep, transcribe } from '../../../../src/image/build/output.ts'

test('steps are told from other lines', () => {
  expect(parseStep('STEP 2/4: RUN a: b')).toEqual({ phase: 'step', stage: 1, stages: 1, step: 2, steps: 4, instruction: 'RUN a: b' })
  expect(parseStep('[2/3] STEP 1/1: FROM a')).toMatchObject({ stage: 2, stages: 3, step: 1, steps: 1 })
  expect(parseStep(' STEP 2/4: RUN')).toBeUndefined()
})

test('lines are what line ends part, a progress bar and a line without end included', () => {
  const lines: string[] = []
  const splitter = lineSplitter((line) => lines.push(line))
  for (const text of ['a', 'b\r\nc\n\n10%\r20', '%\r', 'x'.repeat(70_000), '\nlast']) splitter.write(text)
  splitter.end()
  expect(lines.slice(0, 4)).toEqual(['ab', 'c', '', '10%'])
  expect(lines.at(-1)).toBe('last')
  expect(lines.every((line) => line.length <= 65_536)).toBe(true)
})

test('a reader who is late loses the oldest lines and no step', () => {
  const keys = new Set<string>()
  const seen: BuildProgress[] = []
  const transcript = transcribe((progress) => {
    keys.add(buildProgressKey(progress))
    seen.push(progress)
  })
  transcript.add('stdout', 'STEP 1/2: FROM a')
  for (let number = 0; number < 25_000; number++) transcript.add('stderr', `line ${number}`)
  transcript.add('stdout', 'STEP 2/2: RUN b')
  expect(keys.size).toBe(10_002)
  expect(seen.at(-2)).toEqual({ phase: 'output', stream: 'stderr', line: 'line 24999', number: 24_999 })
})

test('a failure names the step, the code of its command and the last lines, and no value of an argument', () => {
  const transcript = transcribe(() => {})
  transcript.add('stdout', '[1/2] STEP 3/3: RUN make')
  for (let number = 0; number < 100; number++) transcript.add('stdout', `line ${number}`)
  transcript.add('stderr', 'Error: building at STEP "RUN make": while running runtime: exit status 2')
  const error = transcript.failure({ argv: ['buildah', 'build', '--build-arg=T=secret\nline', '--env=A=b'], exitCode: 1, signal: null })
  expect(error.message).toBe('the build failed at step 3/3 (RUN make): while running runtime: exit status 2')
  expect(error).toMatchObject({
    code: 'ERR_BUILD_FAILED',
    details: { stage: 1, step: 3, steps: 3, instruction: 'RUN make', commandExitCode: 2 },
  })
  expect(error.details.output).toHaveLength(50)
  expect(error.program?.argv).toEqual(['buildah', 'build', '--build-arg=T=...', '--env=A=...'])
})

test('a full disk is called that', () => {
  const transcript = transcribe(() => {})
  transcript.add('stderr', 'Error: write /x: no space left on device')
  expect(transcript.failure({ argv: [], exitCode: 1, signal: null })).toMatchObject({ code: 'ERR_NO_SPACE' })
})

import { describe, expect, test } from '@jest/globals'
import type { Descriptor } from '../../../src/spec/descriptor.ts'
import { digestOf } from '../../../src/spec/digest.ts'
import { MEDIA_TYPES } from '../../../src/spec/media-types.ts'
import {
  formatPlatform,
  hostPlatform,
  normalizePlatform,
  parsePlatform,
  platformMatches,
  type SelectPlatformOptions,
  selectPlatform,
} from '../../../src/spec/platform.ts'

function entry(platform: string | undefined, extra: Partial<Descriptor> = {}): Descriptor {
  const [os = '', architecture = '', variant] = platform?.split('/') ?? []
  const place = platform ? { platform: { os, architecture, ...(variant && { variant }) } } : {}
  return { mediaType: MEDIA_TYPES.ociManifest, digest: digestOf(JSON.stringify([platform, extra])), size: 1, ...place, ...extra }
}
function choose(entries: Descriptor[], wanted: string, options?: SelectPlatformOptions): number {
  const index = { schemaVersion: 2 as const, mediaType: MEDIA_TYPES.ociIndex, manifests: entries }
  return entries.indexOf(selectPlatform(index, parsePlatform(wanted), options))
}

test.each([
  ['linux/x86_64', 'linux/amd64'],
  ['linux/x64', 'linux/amd64'],
  ['aarch64', 'linux/arm64'],
  ['linux/arm64/v8', 'linux/arm64'],
  ['linux/arm64/8', 'linux/arm64'],
  ['linux/arm64/v9', 'linux/arm64/v9'],
  ['linux/armhf', 'linux/arm/v7'],
  ['linux/armel', 'linux/arm/v6'],
  ['linux/arm/7', 'linux/arm/v7'],
  ['Linux/AMD64/v1', 'linux/amd64'],
  ['linux/amd64/v3', 'linux/amd64/v3'],
  ['linux/386', 'linux/386'],
])('spells %s as %s', (text, expected) => {
  expect(formatPlatform(parsePlatform(text))).toBe(expected)
  expect(normalizePlatform(parsePlatform(text))).toEqual(parsePlatform(text))
})

test.each(['', '/', 'linux/', 'a/b/c/d', 'linux/amd 64', '../x'])('refuses %j as a platform', (text) => {
  expect(() => parsePlatform(text)).toThrow(expect.objectContaining({ code: 'ERR_INVALID_ARGUMENT' }))
})

describe('hostPlatform', () => {
  const V3 = 'cx16 lahf_lm popcnt pni sse4_1 sse4_2 ssse3 avx avx2 bmi1 bmi2 f16c fma abm movbe xsave'
  test.each([
    ['x64', '', 'linux/amd64'],
    ['x64', 'flags\t\t: fpu sse2', 'linux/amd64'],
    ['x64', `processor\t: 0\nflags\t\t: fpu ${V3}\nbugs\t: x`, 'linux/amd64/v3'],
    ['x64', `flags\t\t: ${V3.replace('movbe ', '')} avx512f`, 'linux/amd64/v2'],
    ['arm64', 'CPU architecture: 8', 'linux/arm64'],
    ['arm', 'CPU architecture: 7', 'linux/arm/v7'],
    ['arm', 'model name\t: ARMv6-compatible processor rev 7\nCPU architecture: 7', 'linux/arm/v6'],
    ['arm', 'CPU architecture: 6TEJ', 'linux/arm/v6'],
    ['arm', 'CPU architecture: 5TE', 'linux/arm/v5'],
    ['arm', 'CPU architecture: AArch64', 'linux/arm/v8'],
    ['arm', '', 'linux/arm'],
    ['ppc64', '', 'linux/ppc64le'],
    ['s390x', '', 'linux/s390x'],
    ['riscv64', '', 'linux/riscv64'],
    ['ia32', '', 'linux/386'],
  ])('of %s with %j is %s', (arch, cpuinfo, expected) => {
    expect(formatPlatform(hostPlatform(arch, cpuinfo))).toBe(expected)
  })
})

test.each([
  ['linux/amd64', 'linux/amd64/v3', true],
  ['linux/amd64/v2', 'linux/amd64/v3', true],
  ['linux/amd64/v4', 'linux/amd64/v3', false],
  ['linux/amd64/v3', 'linux/amd64', false],
  ['linux/arm/v6', 'linux/arm/v7', true],
  ['linux/arm/v8', 'linux/arm/v7', false],
  ['linux/arm64/v8', 'linux/arm64', true],
  ['linux/arm', 'linux/arm64', false],
  ['windows/amd64', 'linux/amd64', false],
  ['unknown/unknown', 'linux/amd64', false],
])('an image for %s on %s: %s', (offered, wanted, expected) => {
  expect(platformMatches(parsePlatform(offered), parsePlatform(wanted))).toBe(expected)
})

describe('selectPlatform', () => {
  test('takes the most capable variant that runs', () => {
    const arm = [entry('linux/arm/v5'), entry('linux/arm/v7'), entry('linux/arm/v6'), entry('linux/arm/v8')]
    expect(choose(arm, 'linux/arm/v7')).toBe(1)
    expect(choose(arm.slice(0, 1), 'linux/arm/v7')).toBe(0)
    expect(choose(arm, 'linux/arm')).toBe(3)
    expect(choose([...arm, entry('linux/arm')], 'linux/arm')).toBe(4)
    expect(choose([entry('linux/amd64'), entry('linux/amd64/v3'), entry('linux/amd64/v4')], 'linux/amd64/v3')).toBe(1)
  })

  test('prefers zstd to gzip, unless asked otherwise, but a better variant to both', () => {
    const zstd = { annotations: { 'io.github.containers.compression.zstd': 'true' } }
    const both = [entry('linux/amd64'), entry('linux/amd64', zstd)]
    expect(choose(both, 'linux/amd64')).toBe(1)
    expect(choose(both, 'linux/amd64', { preferGzip: true })).toBe(0)
    expect(choose([entry('linux/amd64', zstd), entry('linux/amd64/v2')], 'linux/amd64/v2')).toBe(1)
  })

  test('takes the first of equals', () => {
    expect(choose([entry('linux/s390x'), entry('linux/amd64'), entry('linux/amd64', { size: 2 })], 'linux/amd64')).toBe(1)
  })

  test('takes an entry without platform last, and never an artifact', () => {
    expect(choose([entry(undefined), entry('linux/amd64')], 'linux/amd64')).toBe(1)
    expect(choose([entry('linux/arm64'), entry(undefined)], 'linux/amd64')).toBe(1)
    expect(() => choose([entry(undefined, { artifactType: 'application/spdx' })], 'linux/amd64')).toThrow(/no variant for linux\/amd64/)
  })

  test('says what there is when nothing fits', () => {
    const entries = [entry('linux/arm64'), entry('linux/arm64'), entry('unknown/unknown')]
    expect(() => choose(entries, 'linux/amd64')).toThrow(
      expect.objectContaining({
        code: 'ERR_PLATFORM_MISMATCH',
        details: { wanted: 'linux/amd64', available: ['linux/arm64', 'unknown/unknown'] },
      }),
    )
  })
})

import { describe, expect, test } from '@jest/globals'
import { parseReference } from '../../../src/spec/reference.ts'
import { matchesSignedIdentity } from '../../../src/trust/identity.ts'
import type { SignedIdentity } from '../../../src/trust/policy.ts'

const A = `sha256:${'a'.repeat(64)}`
const B = `sha256:${'b'.repeat(64)}`

const exact: SignedIdentity = { type: 'matchExact' }
const standard: SignedIdentity = { type: 'matchRepoDigestOrExact' }
const repository: SignedIdentity = { type: 'matchRepository' }
const exactReference: SignedIdentity = { type: 'exactReference', dockerReference: 'docker.io/library/busybox:1' }
const exactRepository: SignedIdentity = { type: 'exactRepository', dockerRepository: 'busybox' }
const remap: SignedIdentity = { type: 'remapIdentity', prefix: 'mirror.test/vendor', signedPrefix: 'vendor.test' }

describe('a signature for the second name, where the first was asked for', () => {
  test.each<[SignedIdentity, string, string, boolean]>([
    [exact, 'q.test/x:1', 'q.test/x:1', true],
    [exact, 'docker.io/library/busybox:1', 'busybox:1', true],
    [exact, 'q.test/x:1', 'q.test/x:2', false],
    [exact, 'q.test/x:1', 'q.test/y:1', false],
    [exact, 'q.test/x:1', 'q.test/x', false],
    [exact, 'q.test/x', 'q.test/x', false],
    [exact, 'q.test/x', 'q.test/x:latest', true],
    [exact, `q.test/x@${A}`, `q.test/x@${A}`, true],
    [exact, `q.test/x@${A}`, 'q.test/x:1', false],
    [exact, 'q.test/x:1', '', false],
    [exact, 'q.test/x:1', 'q.test/X:1', false],
    [exact, 'q.test/x:1', 'q.test:443/x:1', false],
    [standard, 'q.test/x:1', 'q.test/x:1', true],
    [standard, 'q.test/x:1', 'q.test/x:2', false],
    [standard, 'q.test/x:1', 'q.test/x', false],
    [standard, 'q.test/x', 'q.test/x', false],
    [standard, 'q.test/x:1', `q.test/x@${A}`, false],
    [standard, `q.test/x@${A}`, 'q.test/x:2', true],
    [standard, `q.test/x@${A}`, `q.test/x@${B}`, true],
    [standard, `q.test/x@${A}`, 'q.test/x', false],
    [standard, `q.test/x@${A}`, 'q.test/y:1', false],
    [repository, 'q.test/x:1', 'q.test/x:2', true],
    [repository, 'q.test/x:1', 'q.test/x', true],
    [repository, 'q.test/x:1', 'q.test/x/y', false],
    [repository, 'docker.io/library/busybox:1', 'library/busybox', true],
    [exactReference, 'q.test/x:1', 'busybox:1', true],
    [exactReference, 'docker.io/library/busybox:1', 'q.test/x:1', false],
    [exactReference, 'q.test/x:1', 'busybox', false],
    [exactRepository, 'q.test/x:1', 'docker.io/library/busybox:7', true],
    [exactRepository, 'q.test/x:1', 'docker.io/library/busybox', true],
    [exactRepository, 'docker.io/library/busybox:1', 'q.test/x:1', false],
    [remap, 'mirror.test/vendor/x:1', 'vendor.test/x:1', true],
    [remap, 'mirror.test/vendor/x:1', 'mirror.test/vendor/x:1', false],
    [remap, 'mirror.test/vendor-evil/x:1', 'vendor.test-evil/x:1', false],
    [remap, 'mirror.test/vendor-evil/x:1', 'mirror.test/vendor-evil/x:1', true],
    [remap, `mirror.test/vendor/x@${A}`, 'vendor.test/x:9', true],
    [remap, 'other.test/x:1', 'other.test/x:1', true],
  ])('%j %s %s: %s', (rule, intended, signed, accepted) => {
    expect(matchesSignedIdentity(rule, parseReference(intended), signed)).toBe(accepted)
  })

  test.each([exact, standard, repository, remap])('%j needs an image that has a name', (rule) => {
    expect(matchesSignedIdentity(rule, undefined, 'q.test/x:1')).toBe(false)
  })

  test('what the policy states in full holds for images without a name', () => {
    expect(matchesSignedIdentity(exactReference, undefined, 'busybox:1')).toBe(true)
    expect(matchesSignedIdentity(exactRepository, undefined, 'busybox:2')).toBe(true)
  })
})

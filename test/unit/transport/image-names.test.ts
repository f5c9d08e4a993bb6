import { expect, test } from '@jest/globals'
import { fullNames } from '../../../src/transport/image-names.ts'

test('a name without a registry is completed as the archive means it', () => {
  expect(fullNames(['alpine:3.20', 'me/app:1'], 'docker.io')).toEqual(['docker.io/library/alpine:3.20', 'docker.io/me/app:1'])
  expect(fullNames(['me/app:1'], 'localhost')).toEqual(['localhost/me/app:1'])
})

test('a name without a tag gets the usual one, and equal names are one', () => {
  expect(fullNames(['quay.io/a/b', 'quay.io/a/b:latest'], 'localhost')).toEqual(['quay.io/a/b:latest'])
})

test('a bare tag, a digest and what is no name say nothing', () => {
  expect(
    fullNames(['latest', `quay.io/a@sha256:${'0'.repeat(64)}`, '../../etc/passwd', 'UPPER/case/NAME', 'a:b c', ''], 'localhost'),
  ).toEqual([])
})

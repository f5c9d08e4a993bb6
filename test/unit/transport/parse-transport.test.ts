import { describe, expect, test } from '@jest/globals'
import { parseTransport } from '../../../src/transport/parse-transport.ts'

describe('the location of an image', () => {
  test.each([
    ['docker://quay.io/a/b:1', { transport: 'docker', reference: 'quay.io/a/b:1' }],
    ['oci:/tmp/layout', { transport: 'oci', path: '/tmp/layout' }],
    ['oci:relative/layout:v1', { transport: 'oci', path: 'relative/layout', ref: 'v1' }],
    ['oci:/tmp/layout:docker.io/library/a:1', { transport: 'oci', path: '/tmp/layout', ref: 'docker.io/library/a:1' }],
    ['oci:/tmp/layout:@3', { transport: 'oci', path: '/tmp/layout', index: 3 }],
    ['oci:/tmp/layout:', { transport: 'oci', path: '/tmp/layout' }],
    ['oci-archive:/tmp/a.tar:v1', { transport: 'oci-archive', path: '/tmp/a.tar', ref: 'v1' }],
    ['docker-archive:/tmp/a.tar:alpine:3', { transport: 'docker-archive', path: '/tmp/a.tar', ref: 'alpine:3' }],
    ['docker-archive:/tmp/a.tar:@0', { transport: 'docker-archive', path: '/tmp/a.tar', index: 0 }],
    ['dir:/tmp/with:colon', { transport: 'dir', path: '/tmp/with:colon' }],
    ['docker-daemon:alpine:3', { transport: 'docker-daemon', image: 'alpine:3' }],
    ['containers-storage:localhost/a:1', { transport: 'containers-storage', image: 'localhost/a:1' }],
    ['containers-storage:[/var/lib/s]a', { transport: 'containers-storage', root: '/var/lib/s', image: 'a' }],
    [
      'containers-storage:[overlay@/var/lib/s+/run/s:a=b]a@sha256:00',
      { transport: 'containers-storage', driver: 'overlay', root: '/var/lib/s', runRoot: '/run/s', image: 'a@sha256:00' },
    ],
  ])('%s is understood', (text, location) => {
    expect(parseTransport(text)).toEqual(location)
  })

  test.each(['alpine', 'alpine:3', 'localhost:5000/a', './oci:x', 'ocix:/a', ''])('%j has no transport: it is a name or path', (text) => {
    expect(parseTransport(text)).toBeUndefined()
  })

  test.each([
    'oci:',
    'oci::ref',
    'dir:',
    'docker:alpine',
    'docker://',
    'docker-daemon:',
    'containers-storage:',
    'containers-storage:[overlay@]a',
    'oci:/a:@x',
    'oci:/a:@-1',
    'dir:/a\0b',
  ])('%j is refused', (text) => {
    expect(() => parseTransport(text)).toThrow(expect.objectContaining({ code: 'ERR_TRANSPORT' }))
  })
})

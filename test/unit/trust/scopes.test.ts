import { describe, expect, test } from '@jest/globals'
import { parseReference } from '../../../src/spec/reference.ts'
import { parsePolicy } from '../../../src/trust/policy-parse.ts'
import { type ImageIdentity, requirementsFor, scopesOf } from '../../../src/trust/scopes.ts'

const DIGEST = `sha256:${'a'.repeat(64)}`
const docker = (text: string): ImageIdentity => ({ transport: 'docker', reference: parseReference(text) })

describe('the scopes of an image, most specific first', () => {
  test.each<[ImageIdentity, string[]]>([
    [
      docker('docker.io/library/busybox:1'),
      ['docker.io/library/busybox:1', 'docker.io/library/busybox', 'docker.io/library', 'docker.io', '*.io', ''],
    ],
    [docker(`a.b.test/x@${DIGEST}`), [`a.b.test/x@${DIGEST}`, 'a.b.test/x', 'a.b.test', '*.b.test', '*.test', '']],
    [docker(`a.test/x:1@${DIGEST}`), [`a.test/x@${DIGEST}`, 'a.test/x:1', 'a.test/x', 'a.test', '*.test', '']],
    [docker('h.test:5000/a/b:1'), ['h.test:5000/a/b:1', 'h.test:5000/a/b', 'h.test:5000/a', 'h.test:5000', '*.test', '']],
    [docker('localhost/x'), ['localhost/x:latest', 'localhost/x', 'localhost', '']],
    [docker('[::1]:5000/x:1'), ['[::1]:5000/x:1', '[::1]:5000/x', '[::1]:5000', '']],
    [{ transport: 'dir', path: '/srv/images/app' }, ['/srv/images/app', '/srv/images', '/srv', '']],
    [{ transport: 'oci', path: '/layout' }, ['/layout', '']],
    [{ transport: 'oci-archive', path: '/a/b.tar' }, ['/a/b.tar', '/a', '']],
    [{ transport: 'docker-archive', path: '/a/b.tar' }, ['']],
    [{ transport: 'tarball', path: '/srv/rootfs' }, ['']],
    [
      { transport: 'containers-storage', driver: 'overlay', root: '/var/lib', reference: parseReference('q.test/x:1'), imageId: 'f00' },
      [
        '[overlay@/var/lib]q.test/x:1@f00',
        '[overlay@/var/lib]@f00',
        '[overlay@/var/lib]q.test/x:1',
        '[overlay@/var/lib]q.test/x',
        '[overlay@/var/lib]q.test',
        '[overlay@/var/lib]',
        '[/var/lib]',
        '',
      ],
    ],
  ])('%j', (identity, scopes) => {
    expect(scopesOf(identity)).toEqual(scopes)
  })
})

describe('the requirements of an image', () => {
  const reject = [{ type: 'reject' }]
  const accept = [{ type: 'insecureAcceptAnything' }]
  const policy = parsePolicy({
    default: reject,
    transports: {
      docker: { 'a.test/team': accept, 'a.test/team/app:1': reject, '*.b.test': accept, '': reject },
      dir: { '/srv': accept },
    },
  })

  test.each<[ImageIdentity, string | undefined, string, string]>([
    [docker('a.test/team/app:2'), 'docker', 'a.test/team', 'insecureAcceptAnything'],
    [docker('a.test/team/app:1'), 'docker', 'a.test/team/app:1', 'reject'],
    [docker('a.test/team-evil/app:2'), 'docker', '', 'reject'],
    [docker('a.test:5000/team/app:2'), 'docker', '', 'reject'],
    [docker('x.y.b.test/app'), 'docker', '*.b.test', 'insecureAcceptAnything'],
    [docker('b.test/app'), 'docker', '', 'reject'],
    [docker('xb.test/app'), 'docker', '', 'reject'],
    [{ transport: 'dir', path: '/srv/x' }, 'dir', '/srv', 'insecureAcceptAnything'],
    [{ transport: 'dir', path: '/srvx' }, undefined, '', 'reject'],
    [{ transport: 'oci', path: '/srv/x' }, undefined, '', 'reject'],
  ])('%j stand in scope %s %j', (identity, transport, scope, type) => {
    expect(requirementsFor(policy, identity)).toMatchObject({ scope: { transport, scope }, requirements: [{ type }] })
  })
})

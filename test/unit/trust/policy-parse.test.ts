import { describe, expect, test } from '@jest/globals'
import { isPodlibError } from '../../../src/errors/errors.ts'
import { parsePolicy } from '../../../src/trust/policy-parse.ts'

const KEY = Buffer.from('key').toString('base64')
const signedBy = { type: 'signedBy', keyType: 'GPGKeys', keyPath: '/k.gpg' }
const sigstore = { type: 'sigstoreSigned', keyPath: '/k.pub' }
const fulcio = { caPath: '/ca.pem', oidcIssuer: 'https://issuer', subjectEmail: 'a@b.test' }
const pki = { caRootsPath: '/ca.pem', subjectEmail: 'a@b.test' }
const bundle = { type: 'sigstoreBundle', keyPath: '/k.pub' }
const certificate = { identity: 'a@b.test', issuer: 'https://issuer' }

describe('a policy that is accepted', () => {
  test.each([
    ['only a default', { default: [{ type: 'reject' }] }],
    [
      'every transport containers know',
      { default: [{ type: 'reject' }], transports: { docker: {}, 'docker-daemon': {}, atomic: {}, oci: {} } },
    ],
    ['scopes', { default: [{ type: 'reject' }], transports: { docker: { 'docker.io/library': [signedBy], '': [sigstore] } } }],
    [
      'a scope that is a path',
      { default: [{ type: 'reject' }], transports: { dir: { '/srv/images': [{ type: 'insecureAcceptAnything' }] } } },
    ],
  ])('%s', (_, policy) => {
    expect(parsePolicy(JSON.stringify(policy)).default[0]?.type).toBe('reject')
  })

  test.each([
    [{ ...signedBy, signedIdentity: { type: 'remapIdentity', prefix: 'mirror:5000/x', signedPrefix: 'vendor.test' } }],
    [{ type: 'signedBy', keyType: 'GPGKeys', keyPaths: ['/a', '/b'] }],
    [{ type: 'signedBy', keyType: 'GPGKeys', keyData: KEY }],
    [{ type: 'signedBaseLayer', baseLayerIdentity: { type: 'matchRepository' } }],
    [{ ...sigstore, rekorPublicKeyData: KEY, signedIdentity: { type: 'matchRepository' } }],
    [{ type: 'sigstoreSigned', keyDatas: [KEY, KEY], rekorPublicKeyPaths: ['/r'] }],
    [{ type: 'sigstoreSigned', fulcio, rekorPublicKeyPath: '/r' }],
    [{ type: 'sigstoreSigned', pki: { ...pki, caIntermediatesData: KEY, subjectHostname: 'h.test' } }],
    [{ ...sigstore, signedIdentity: { type: 'exactReference', dockerReference: 'busybox:1' } }],
    [{ ...sigstore, signedIdentity: { type: 'exactRepository', dockerRepository: 'docker.io/library/busybox' } }],
    [bundle],
    [{ ...bundle, trustedRootData: KEY, tlogThreshold: 2, predicateTypes: ['https://slsa.dev/provenance/v1'] }],
    [{ type: 'sigstoreBundle', certificate, trustedRootPath: '/root.json', sctThreshold: 0 }],
    [{ type: 'sigstoreBundle', certificate: { identityPattern: '.*@b\\.test', issuer: 'i' }, trustedRootPath: '/root.json' }],
  ])('requirement %j', (requirement) => {
    expect(parsePolicy({ default: [requirement] }).default[0]?.type).toBe((requirement as { type: string }).type)
  })

  test('takes matchRepoDigestOrExact where no signedIdentity is given', () => {
    expect(parsePolicy({ default: [signedBy] }).default[0]).toMatchObject({ signedIdentity: { type: 'matchRepoDigestOrExact' } })
  })

  test('lets an identity pattern match the whole identity only', () => {
    const pattern = { identityPattern: 'a@b\\.test|c@d\\.test', issuer: 'i' }
    const requirement = parsePolicy({ default: [{ type: 'sigstoreBundle', certificate: pattern, trustedRootPath: '/r' }] }).default[0]
    const identity = requirement?.type === 'sigstoreBundle' ? (requirement.certificate?.identity as RegExp) : /x/
    expect([identity.test('a@b.test'), identity.test('c@d.test'), identity.test('xa@b.test'), identity.test('c@d.testx')]).toEqual([
      true,
      true,
      false,
      false,
    ])
  })
})

describe('a policy that is refused, with the place', () => {
  test.each([
    ['{}', '$'],
    ['[]', '$'],
    ['null', '$'],
    ['{"default":[]}', '$.default'],
    ['{"default":{}}', '$.default'],
    ['{"default":[{"type":"reject"}],"extra":1}', '$'],
    ['{"default":[{"type":"reject"}],"default":[{"type":"insecureAcceptAnything"}]}', '$'],
    ['{"default":[{"type":"reject","type":"insecureAcceptAnything"}]}', '$'],
    ['{"default":[{"type":"reject"}],"transports":null}', '$.transports'],
    ['{"default":[{"type":"reject"}],"transports":{"dokcer":{}}}', '$.transports.dokcer'],
    ['{"default":[{"type":"reject"}],"transports":{"docker":[]}}', '$.transports.docker'],
    ['{"default":[{"type":"reject"}],"transports":{"docker":{"":[]}}}', '$.transports.docker[""]'],
    ['{"default":[{"type":"reject"}],"transports":{"docker":{"a/b":[{}]}}}', '$.transports.docker["a/b"][0].type'],
    ['{"default":[{"type":"reject"}],"transports":{"docker":{"a":[],"a":[{"type":"reject"}]}}}', '$'],
    ['{"default":[{"type":"reject"}],"transports":{"docker-archive":{"/a":[{"type":"reject"}]}}}', '$.transports.docker-archive["/a"]'],
    ['{"default":[{"type":"reject"}] } trailing', '$'],
    ['{"default":[{"type":"reject",}]}', '$'],
    ['', '$'],
    ['\uFEFF{"default":[{"type":"reject"}]}', '$'],
  ])('%s', (text, path) => {
    expect(pathOf(text)).toBe(path)
    expect(pathOf(Buffer.from(text))).toBe(path)
  })

  test.each(['/', 'relative', '/a/', '/a//b', '/a/../b', '/a/./b'])('the path scope %s', (scope) => {
    expect(pathOf({ default: [{ type: 'reject' }], transports: { dir: { [scope]: [{ type: 'reject' }] } } })).toContain('$.transports.dir')
  })

  test.each([
    [{ type: 'accept' }],
    [{ type: 'reject', reason: 'x' }],
    [{ type: ['reject'] }],
    ['reject'],
    [null],
    [{ type: 'signedBaseLayer' }],
    [{ type: 'signedBy', keyPath: '/k' }],
    [{ ...signedBy, keyType: 'X509Certificates' }],
    [{ ...signedBy, keyData: KEY }],
    [{ type: 'signedBy', keyType: 'GPGKeys' }],
    [{ type: 'signedBy', keyType: 'GPGKeys', keyPaths: [] }],
    [{ type: 'signedBy', keyType: 'GPGKeys', keyPaths: ['/a', ''] }],
    [{ type: 'signedBy', keyType: 'GPGKeys', keyPath: '' }],
    [{ type: 'signedBy', keyType: 'GPGKeys', keyPath: null }],
    [{ type: 'signedBy', keyType: 'GPGKeys', keyData: 'not base64!' }],
    [{ type: 'signedBy', keyType: 'GPGKeys', keyDatas: [KEY] }],
    [{ ...signedBy, rekorPublicKeyPath: '/r' }],
    [{ ...signedBy, signedIdentity: null }],
    [{ ...signedBy, signedIdentity: {} }],
    [{ ...signedBy, signedIdentity: { type: 'matchAnything' } }],
    [{ ...signedBy, signedIdentity: { type: 'matchExact', extra: 1 } }],
    [{ ...signedBy, signedIdentity: { type: 'exactReference' } }],
    [{ ...signedBy, signedIdentity: { type: 'exactReference', dockerReference: 'docker.io/library/busybox' } }],
    [{ ...signedBy, signedIdentity: { type: 'exactReference', dockerReference: 'UPPER:1' } }],
    [{ ...signedBy, signedIdentity: { type: 'exactRepository', dockerRepository: 'docker.io/library/busybox:1' } }],
    [{ ...signedBy, signedIdentity: { type: 'remapIdentity', prefix: 'a' } }],
    [{ ...signedBy, signedIdentity: { type: 'remapIdentity', prefix: 'a/b:1', signedPrefix: 'c' } }],
    [{ ...signedBy, signedIdentity: { type: 'remapIdentity', prefix: 'a/', signedPrefix: 'c' } }],
    [{ type: 'sigstoreSigned' }],
    [{ ...sigstore, keyData: KEY }],
    [{ ...sigstore, fulcio, rekorPublicKeyPath: '/r' }],
    [{ ...sigstore, rekorPublicKeyPath: '/r', rekorPublicKeyData: KEY }],
    [{ type: 'sigstoreSigned', fulcio }],
    [{ type: 'sigstoreSigned', fulcio: { ...fulcio, caData: KEY }, rekorPublicKeyPath: '/r' }],
    [{ type: 'sigstoreSigned', fulcio: { caPath: '/c', oidcIssuer: 'i' }, rekorPublicKeyPath: '/r' }],
    [{ type: 'sigstoreSigned', fulcio: { oidcIssuer: 'i', subjectEmail: 'e' }, rekorPublicKeyPath: '/r' }],
    [{ type: 'sigstoreSigned', pki, rekorPublicKeyPath: '/r' }],
    [{ type: 'sigstoreSigned', pki: { caRootsPath: '/c' } }],
    [{ type: 'sigstoreSigned', pki: { subjectEmail: 'e' } }],
    [{ type: 'sigstoreSigned', pki: { ...pki, caRootsData: KEY } }],
    [{ type: 'sigstoreBundle' }],
    [{ ...bundle, certificate, trustedRootPath: '/r' }],
    [{ type: 'sigstoreBundle', certificate }],
    [{ type: 'sigstoreBundle', certificate: { ...certificate, identityPattern: 'x' }, trustedRootPath: '/r' }],
    [{ type: 'sigstoreBundle', certificate: { issuer: 'i' }, trustedRootPath: '/r' }],
    [{ type: 'sigstoreBundle', certificate: { identityPattern: '(', issuer: 'i' }, trustedRootPath: '/r' }],
    [{ type: 'sigstoreBundle', certificate: { identityPattern: ')(', issuer: 'i' }, trustedRootPath: '/r' }],
    [{ type: 'sigstoreBundle', certificate, trustedRootPath: '/r', timestampThreshold: 0 }],
    [{ ...bundle, tlogThreshold: -1 }],
    [{ ...bundle, tlogThreshold: 1.5 }],
    [{ ...bundle, predicateTypes: [] }],
    [{ ...bundle, signedIdentity: { type: 'matchRepository' } }],
  ])('the requirement %j', (requirement) => {
    expect(pathOf({ default: [{ type: 'reject' }, requirement] })).toMatch(/^\$\.default\[1\]/)
  })
})

function pathOf(document: string | Buffer | object): unknown {
  try {
    parsePolicy(document, '/etc/containers/policy.json')
  } catch (error) {
    if (!isPodlibError(error, 'ERR_POLICY_INVALID')) throw error
    expect(error.message).toContain('/etc/containers/policy.json')
    return error.details.path
  }
  return undefined
}

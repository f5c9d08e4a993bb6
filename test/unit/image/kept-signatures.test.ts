import { describe, expect, test } from '@jest/globals'
import { addOrigin, type KeptOrigin, originKey, readOrigins, signatureFiles } from '../../../src/image/kept-signatures.ts'
import { parseReference } from '../../../src/spec/reference.ts'
import type { KeptAnswer } from '../../../src/trust/kept-evidence.ts'
import type { ImageIdentity } from '../../../src/trust/scopes.ts'
import { base64, INDEX, MANIFEST } from '../../helpers/trust-request.ts'

const answer = (kind: KeptAnswer['kind'], ...items: readonly string[]): KeptAnswer => ({ kind, digest: MANIFEST, items: items.map(base64) })
const docker = (name: string): ImageIdentity => ({ transport: 'docker', reference: parseReference(name) })
const from = (identity: ImageIdentity, ...answers: readonly KeptAnswer[]): KeptOrigin => ({ identity, indexDigest: undefined, answers })

/** The column after an image came from each of these places, as the database gives it back. */
function column(...origins: readonly KeptOrigin[]): unknown {
  return origins.reduce<unknown>((before, origin) => JSON.parse(JSON.stringify(addOrigin(before, origin))), null)
}

describe('what is kept with a manifest', () => {
  test.each<ImageIdentity>([
    docker('registry.test/team/app:1'),
    docker(`registry.test/team/app@${MANIFEST}`),
    { transport: 'dir', path: '/srv/image' },
    { transport: 'docker-archive', path: '/srv/a.tar', reference: parseReference('docker.io/library/app:1') },
    { transport: 'docker-daemon', image: 'app:1' },
    { transport: 'tarball', path: '-' },
  ])('comes back as it was: %j', (identity) => {
    const origin = { identity, indexDigest: INDEX, answers: [answer('bundles', 'bundle')] }
    expect(readOrigins(column(origin))).toEqual([origin])
  })

  test('has the documented shape', () => {
    const origin = { ...from(docker('registry.test/app:1'), answer('signatures', 'sig')), indexDigest: INDEX }
    expect(column(origin)).toEqual({
      version: 1,
      origins: [
        {
          identity: { transport: 'docker', reference: 'registry.test/app:1' },
          indexDigest: INDEX,
          answers: [{ kind: 'signatures', digest: MANIFEST, items: [base64('sig')] }],
        },
      ],
    })
  })

  test('stays apart by where it came from: what was found in one repository says nothing of another', () => {
    const [a, b] = [from(docker('a.test/x:1'), answer('bundles', 'of a')), from(docker('b.test/x:1'))]
    expect(readOrigins(column(a, b))).toEqual([a, b])
    expect(originKey(a)).not.toBe(originKey(b))
  })

  test('is replaced by what is fetched anew from the same place, and else stays', () => {
    const place = docker('a.test/x:1')
    const [old, bundles, fresh] = [answer('signatures', 'old'), answer('bundles', 'b'), answer('signatures', 'new')]
    expect(readOrigins(column(from(place, old, bundles), from(docker('b.test/x:1')), from(place, fresh)))).toEqual([
      from(docker('b.test/x:1')),
      from(place, fresh, bundles),
    ])
  })

  test('is bounded: the oldest gives way', () => {
    const places = Array.from({ length: 20 }, (_, index) => from(docker(`a.test/x:${index}`), answer('bundles', 'x'.repeat(1 << 20))))
    const kept = readOrigins(column(...places))
    expect(kept.map(({ identity }) => identity)).toEqual(places.slice(-8).map(({ identity }) => identity))
    expect(kept.flatMap(({ answers }) => answers)).toHaveLength(2)
    expect(kept.at(-1)?.answers).toHaveLength(1)
  })

  test.each([null, undefined, {}, { version: 2, origins: [{}] }, { version: 1 }, 'x', 7, []])('%j tells nothing', (value) => {
    expect(readOrigins(value)).toEqual([])
    expect(signatureFiles(value, MANIFEST)).toEqual([])
    expect(readOrigins(addOrigin(value, from(docker('a.test/x:1'))))).toHaveLength(1)
  })

  test('gives the files that go beside a saved image: no bundles, nothing of another digest, each once', () => {
    const one = from(docker('a.test/x:1'), answer('signatures', 'sig'), answer('bundles', 'b'), answer('attachment', 'cosign'))
    const other = from(docker('b.test/x:1'), answer('signatures', 'sig'), { ...answer('signatures', 'of index'), digest: INDEX })
    expect(signatureFiles(column(one, other), MANIFEST).map(String)).toEqual(['sig', 'cosign'])
  })
})

import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect } from '@jest/globals'
import type { Runtime } from '../../src/index.ts'
import { lacking } from '../helpers/abilities.ts'
import { debianTar } from '../helpers/debian-tar.ts'
import { writeOciLayout } from '../helpers/oci-layout.ts'
import { ODD_LAYERS } from '../helpers/odd-layers.ts'
import { openPodman, type Podman } from '../helpers/podman.ts'
import { runProgram } from '../helpers/programs.ts'
import { RUNTIME_NEEDS, runtimeLab } from '../helpers/runtime-store.ts'
import { STACKED_LAYERS } from '../helpers/stacked-layers.ts'
import { type TarBlock, tar } from '../helpers/tar-builder.ts'
import { tarImage, tarImages } from '../helpers/tar-image.ts'
import { temporaryDirectories } from '../helpers/temporary-directory.ts'
import { testNeeding } from '../helpers/test-needing.ts'
import { compareTrees, type KnownDifference, type TreeComparison } from '../helpers/tree-parity.ts'

const NEEDS = [...RUNTIME_NEEDS, 'podman'] as const
const lab = runtimeLab()
const directory = temporaryDirectories()
let podman: Podman
let runtime: Runtime

beforeAll(async () => {
  if (lacking(NEEDS).length > 0) return
  podman = await openPodman({ ociRuntime: 'crun' })
  runtime = await (await lab.emptyStore()).open()
})
afterAll(async () => {
  await podman?.run('image', 'umount', '--all')
  await podman?.[Symbol.asyncDispose]()
})

/** Both unpack an image, mount it, and what differs is told. */
async function compared(place: string, known: readonly KnownDifference[], name: string): Promise<TreeComparison> {
  await podman.run('pull', '--quiet', place)
  const image = await runtime.images.pull(place, { names: [name] })
  expect((await podman.output('images', '--quiet', '--no-trunc')).trim().split('\n')).toContain(`sha256:${image.id}`)
  return comparedMounts(image.id, (await podman.output('image', 'mount', image.id)).trim(), known)
}

async function comparedMounts(id: string, there: string, known: readonly KnownDifference[]): Promise<TreeComparison> {
  await using mounted = await runtime.images.mount(id)
  return compareTrees(mounted.path, there, known)
}

const folder = (name: string, more: TarBlock = {}): TarBlock => ({ name, type: '5', mode: 0o755, ...more })
const SAME: TreeComparison = { differences: [], unfounded: [] }
const is =
  (...names: string[]) =>
  (name: string) =>
    names.includes(name)
const forEach = (whats: readonly KnownDifference['what'][], names: KnownDifference['names'], why: string): KnownDifference[] =>
  whats.map((what) => ({ what, names, why }))

/** podman's root directory is its own: it skips the entry that a layer has for it. */
const ROOT = forEach(['mode', 'mtimeNs'], is('.'), 'podman gives every root the mode 0555 and the time of the pull')
const implied = (names: KnownDifference['names'], ...whats: KnownDifference['what'][]) =>
  forEach(
    whats,
    names,
    'podman makes directories that a layer has only files in anew, so that they hide owner, mode and time of those below',
  )

describe('the tree of an image is the one that podman has:', () => {
  testNeeding(
    [...NEEDS, 'mmdebstrap'],
    'a Debian',
    async () => {
      const layout = directory()
      await writeOciLayout(layout, { tag: 'debian', layers: [{ tar: await debianTar(), compression: 'none' }] })
      // podman takes the path of a layout for a name, which has no upper case.
      const archive = join(directory(), 'a.tar')
      await runProgram('tar', ['-C', layout, '-cf', archive, '.'])
      expect(await compared(`oci-archive:${archive}`, ROOT, 'debian')).toEqual(SAME)
    },
    120_000,
  )

  testNeeding(NEEDS, 'layers that change, replace, hide and bring back what lies below', async () => {
    const archive = join(directory(), 'a.tar')
    writeFileSync(archive, tarImage('localhost/layers:1', STACKED_LAYERS))
    const root = [...ROOT, ...forEach(['uid', 'gid'], is('.'), 'podman gives every root to root')]
    const known = [...root, ...implied(is('marked'), 'mode', 'uid', 'gid', 'mtimeNs', 'xattrs'), ...implied(is('marked/deeper'), 'mtimeNs')]
    expect(await compared(`docker-archive:${archive}`, known, 'layers')).toEqual(SAME)
  })

  testNeeding(NEEDS, 'a root that is opaque', async () => {
    const archive = join(directory(), 'a.tar')
    const layers = [
      tar({ name: 'below' }, folder('both/'), { name: 'both/below' }),
      tar({ name: '.wh..wh..opq' }, folder('both/'), { name: 'both/above' }),
    ]
    writeFileSync(archive, tarImage('localhost/opaque:1', layers))
    const forgets = forEach(
      ['only there'],
      is('below', 'both/below'),
      'overlay takes no opaque mark on the root of a layer, and podman makes no other',
    )
    expect(await compared(`docker-archive:${archive}`, [...ROOT, ...forgets], 'opaque')).toEqual(SAME)
  })
})

describe('the tree of a legal but odd layer is the one that podman has:', () => {
  // Something for a layer to hide, replace and merge with.
  const base = tar(
    folder('a/', { mode: 0o750, uid: 1, gid: 2, mtime: 2000 }),
    { name: 'a/x', content: 'below' },
    { name: 'a/y', content: 'below' },
    folder('a/b/', { mode: 0o700 }),
    folder('a/b/c/', { mode: 0o2775, uid: 3 }),
    { name: 'a/b/z', content: 'below' },
    folder('b/', { uid: 9 }),
    { name: 'b/c', content: 'below' },
    folder('d/', { mode: 0o1777 }),
    { name: 'd/x', content: 'below' },
    { name: 'x', content: 'below' },
    { name: 'y', content: 'below' },
  )
  const ALL = ['mode', 'uid', 'gid', 'mtimeNs'] as const
  const longName = [...implied(is('d'), 'mode'), ...implied((name) => /^d(\/d)*$/.test(name), 'mtimeNs')]
  const KNOWN: Readonly<Record<string, readonly KnownDifference[]>> = {
    'missing parent directories': implied(is('a', 'a/b', 'a/b/c'), ...ALL),
    'a ustar prefix': implied(is('a', 'a/b'), ...ALL),
    'a star header': implied(is('a'), ...ALL),
    // Directories that only this layer has are as old as the pull.
    'a prefix under GNU magic (old Go)': [
      ...implied(is('a'), ...ALL),
      ...implied(is('a/very', 'a/very/long', 'a/very/long/prefix'), 'mtimeNs'),
    ],
    'an opaque mark without its directory': implied(is('a'), ...ALL),
    'only whiteouts': implied(is('b'), 'uid', 'mtimeNs'),
    'a PAX name of 300 bytes': longName,
    'GNU long name and link': longName,
    'a whiteout before a directory of the same name': forEach(
      ['only there'],
      is('a/b', 'a/b/c', 'a/b/z', 'a/y'),
      'podman forgets the whiteout, which hides what is below whatever the layer itself has of that name',
    ),
    'AUFS bookkeeping': forEach(
      ['only there'],
      is('.wh..wh.plnk', '.wh..wh.plnk/12.34'),
      'podman skips the names of AUFS in its own bookkeeping only',
    ),
    'a negative time': forEach(['mtimeNs'], is('x', 'y'), 'podman makes 1970 of what was before'),
    'libarchive attributes': forEach(['xattrs'], is('x'), 'podman reads attributes in the form of star only'),
    'a file that is one hole': forEach(['size', 'content'], is('hole'), 'podman takes no size from a sparse file without data'),
  }
  const REFUSED: Readonly<Record<string, string>> = {
    'a whiteout after an entry of the same name': 'file exists',
    'a whiteout after a directory of the same name': 'file exists',
    'a file and then a directory of one name': 'duplicates of file paths not supported',
    'a directory and then a file of one name': 'chtimes /a/b: not a directory',
    'duplicate files': 'duplicates of file paths not supported',
    'a duplicate of a hard-linked file': 'duplicates of file paths not supported',
    'a hard link to itself': 'no such file or directory',
    'a time in 2262 and beyond': 'invalid tar header',
    'a GNU volume label': 'unhandled tar header type',
    'a contiguous file': 'unhandled tar header type',
    'an old GNU sparse file': 'unhandled tar header type',
    'an old GNU sparse file with extension blocks': 'unhandled tar header type',
  }
  const names = Object.keys(ODD_LAYERS)
  const refused = (name: string) => name in REFUSED
  const places = new Map<string, { readonly id: string; readonly there: string }>()

  beforeAll(async () => {
    if (lacking(NEEDS).length > 0) return
    const path = mkdtempSync(join(tmpdir(), 'odd-'))
    try {
      const archive = join(path, 'a.tar')
      const tag = (index: number) => `localhost/odd:${index}`
      const accepted = names.filter((name) => !refused(name))
      writeFileSync(archive, tarImages(Object.fromEntries(accepted.map((name, index) => [tag(index), [base, ODD_LAYERS[name] as Buffer]]))))
      await podman.run('load', '--quiet', '--input', archive)
      const loaded = await runtime.images.load(archive)
      const mounts = (await podman.output('image', 'mount', ...accepted.map((_, index) => tag(index)))).trim().split('\n')
      const there = new Map(mounts.map((line) => line.trim().split(/\s+/) as [string, string]))
      for (const [index, name] of accepted.entries())
        places.set(name, { id: loaded[index]?.id as string, there: there.get(tag(index)) as string })
    } finally {
      rmSync(path, { recursive: true })
    }
  }, 60_000)

  for (const name of names.filter((one) => !refused(one))) {
    testNeeding(NEEDS, name, async () => {
      const { id, there } = places.get(name) as { id: string; there: string }
      expect(await comparedMounts(id, there, [...ROOT, ...(KNOWN[name] ?? [])])).toEqual(SAME)
    })
  }

  for (const name of names.filter(refused)) {
    testNeeding(NEEDS, `${name} (which podman refuses)`, async () => {
      const archive = join(directory(), 'a.tar')
      writeFileSync(archive, tarImage('localhost/refused:1', [base, ODD_LAYERS[name] as Buffer]))
      await expect(podman.run('load', '--quiet', '--input', archive)).rejects.toThrow(REFUSED[name])
      expect(await runtime.images.load(archive, { replaceNames: true })).toHaveLength(1)
    })
  }
})

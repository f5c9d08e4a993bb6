import { execFileSync } from 'node:child_process'
import { chownSync, mkdirSync, renameSync, rmSync, symlinkSync, truncateSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { describe, expect, test } from '@jest/globals'
import { isPodlibError } from '../../../../src/errors/errors.ts'
import { digestOf } from '../../../../src/spec/digest.ts'
import { openContainersStore } from '../../../../src/storage/additional/containers-store.ts'
import { temporaryDirectories } from '../../../helpers/temporary-directory.ts'

const directory = temporaryDirectories()
const uid = process.getuid?.() ?? 0
const id = (letter: string) => letter.repeat(64)
const DIFF_IDS = [digestOf(Buffer.from('bottom')), digestOf(Buffer.from('top'))]
const [BOTTOM, TOP] = [id('b'), id('c')]

interface Written {
  readonly images?: unknown
  readonly layers?: unknown
  /** What is in the config. */
  readonly config?: object
}

const LAYERS = [
  { id: BOTTOM, created: '2026-01-01T00:00:00Z', 'diff-digest': DIFF_IDS[0], 'diff-size': 10 },
  { id: TOP, parent: BOTTOM, created: '2026-01-02T00:00:00Z', 'diff-digest': DIFF_IDS[1], 'diff-size': 20 },
]
const image = (more: object = {}) => ({ id: id('a'), names: ['docker.io/library/x:1'], layer: TOP, ...more })

/** A store of one image of two layers, or what the test makes of it. */
function store({ images = [image()], layers = LAYERS, config = {} }: Written = {}): string {
  const root = directory()
  const write = (name: string, content: string | Buffer) => {
    mkdirSync(dirname(join(root, name)), { recursive: true })
    writeFileSync(join(root, name), content)
  }
  const configBytes = Buffer.from(
    JSON.stringify({ os: 'linux', architecture: 'amd64', rootfs: { type: 'layers', diff_ids: DIFF_IDS }, ...config }),
  )
  const digest = digestOf(configBytes)
  const mediaType = 'application/vnd.oci.image.layer.v1.tar'
  const manifest = {
    schemaVersion: 2,
    mediaType: 'application/vnd.oci.image.manifest.v1+json',
    config: { mediaType: 'application/vnd.oci.image.config.v1+json', digest, size: configBytes.length },
    layers: DIFF_IDS.map((diffId) => ({ mediaType, digest: diffId, size: 10 })),
  }
  write('overlay-images/images.json', typeof images === 'string' ? images : JSON.stringify(images))
  write(`overlay-images/${id('a')}/manifest`, JSON.stringify(manifest))
  write(`overlay-images/${id('a')}/=${Buffer.from(digest).toString('base64')}`, configBytes)
  write('overlay-layers/layers.json', typeof layers === 'string' ? layers : JSON.stringify(layers))
  for (const layer of [BOTTOM, TOP]) write(`overlay/${layer}/diff/file`, layer)
  return root
}

const open = (root: string) => openContainersStore(root, uid)
const codeOf = (work: () => unknown) => {
  try {
    return work() as undefined
  } catch (error) {
    if (isPodlibError(error)) return error.code
    throw error
  }
}

describe('a store of containers/storage', () => {
  test('tells its images, with their layers from the bottom up', () => {
    const root = store({ images: [image({ names: ['docker.io/library/x:1', `quay.io/x@${DIFF_IDS[0]}`, 'no registry', '../x'] })] })
    const [found, ...more] = open(root).images()
    expect(more).toEqual([])
    expect(found).toMatchObject({
      store: root,
      names: ['docker.io/library/x:1'],
      storedAt: Date.UTC(2026, 0, 2),
      layers: [
        { diffId: DIFF_IDS[0], size: 10, tree: join(root, 'overlay', BOTTOM, 'diff') },
        { diffId: DIFF_IDS[1], size: 20, tree: join(root, 'overlay', TOP, 'diff') },
      ],
    })
    expect(open(root).trees(found as never)).toEqual([join(root, 'overlay', BOTTOM, 'diff'), join(root, 'overlay', TOP, 'diff')])
  })

  test('reads again what has changed, and only then', () => {
    const root = store()
    const opened = open(root)
    const before = opened.images()
    expect(opened.images()).toBe(before)
    writeFileSync(join(root, 'overlay-images/new'), '[]')
    renameSync(join(root, 'overlay-images/new'), join(root, 'overlay-images/images.json'))
    expect(opened.images()).toEqual([])
  })

  test('that nobody has put an image into is empty, one that is not there or of another driver is an error', () => {
    const root = directory()
    expect(open(root).images()).toEqual([])
    mkdirSync(join(root, 'vfs-images'))
    expect(codeOf(() => open(root).images())).toBe('ERR_STORE_UNSUPPORTED')
    expect(codeOf(() => open(join(root, 'missing')).images())).toBe('ERR_STORE_UNREADABLE')
  })

  test.each([
    ['an image whose layer is not there', { layers: [LAYERS[1]] }],
    ['layers that are still being unpacked', { layers: [LAYERS[0], { ...LAYERS[1], flags: { incomplete: true } }] }],
    ['layers in a ring', { layers: [{ ...LAYERS[0], parent: TOP }, LAYERS[1]] }],
    ['fewer layers than the config has', { images: [image({ layer: BOTTOM })] }],
    ['a layer by a path', { images: [image({ layer: `../${TOP.slice(3)}` })], layers: [{ ...LAYERS[1], id: `../${TOP.slice(3)}` }] }],
    ['an image by a path', { images: [image({ id: '../../etc' })] }],
    ['an image without big data', { images: [image({ id: id('e') })] }],
    ['a config that is none', { config: { os: 1 } }],
    ['records that are none', { images: [null, 1, 'x', [], { id: 1 }], layers: [null, { id: [] }] }],
    ['no records at all', { images: null }],
  ] as [string, Written][])('leaves out %s', (_what, written) => {
    expect(open(store(written)).images()).toEqual([])
  })

  test.each([
    ['no JSON', { images: '[{' }],
    ['no list', { images: '{}' }],
    ['layers that are no list', { layers: '"x"' }],
  ] as [string, Written][])('refuses %s', (_what, written) => {
    expect(codeOf(() => open(store(written)).images())).toBe('ERR_STORE_UNREADABLE')
  })

  test('neither follows links, nor waits for a FIFO, nor reads files without end', () => {
    const elsewhere = store()
    const list = (root: string) => join(root, 'overlay-images/images.json')
    const linked = store()
    rmSync(list(linked))
    symlinkSync(list(elsewhere), list(linked))
    expect(codeOf(() => open(linked).images())).toBe('ERR_STORE_UNREADABLE')
    const directoryLink = store()
    rmSync(join(directoryLink, 'overlay-images', id('a')), { recursive: true })
    symlinkSync(join(elsewhere, 'overlay-images', id('a')), join(directoryLink, 'overlay-images', id('a')))
    expect(open(directoryLink).images()).toEqual([])
    const fifo = store()
    rmSync(list(fifo))
    execFileSync('mkfifo', [list(fifo)])
    expect(codeOf(() => open(fifo).images())).toBe('ERR_STORE_UNREADABLE')
    const huge = store()
    truncateSync(list(huge), 65 * 1024 * 1024)
    expect(codeOf(() => open(huge).images())).toBe('ERR_STORE_UNREADABLE')
  })

  test('gives no layers that it has noted as others than those of the config, and says which', () => {
    const opened = open(store({ config: { rootfs: { type: 'layers', diff_ids: [DIFF_IDS[1], DIFF_IDS[0]] } } }))
    const [found] = opened.images()
    expect(() => opened.trees(found as never)).toThrow(
      expect.objectContaining({
        code: 'ERR_STORE_CORRUPT',
        details: { root: opened.root, diffId: DIFF_IDS[1], recordedDiffId: DIFF_IDS[0] },
      }),
    )
  })

  test('gives no layer that is gone, a link, or not to be mounted as it is', () => {
    const trees = (root: string) => {
      const opened = open(root)
      return codeOf(() => opened.trees(opened.images()[0] as never))
    }
    const gone = store()
    rmSync(join(gone, 'overlay', BOTTOM), { recursive: true })
    expect(trees(gone)).toBe('ERR_LAYER_NOT_FOUND')
    const linked = store()
    rmSync(join(linked, 'overlay', BOTTOM, 'diff'), { recursive: true })
    symlinkSync('/etc', join(linked, 'overlay', BOTTOM, 'diff'))
    expect(trees(linked)).toBe('ERR_LAYER_NOT_FOUND')
    const composefs = store()
    mkdirSync(join(composefs, 'overlay', TOP, 'composefs-data'))
    expect(trees(composefs)).toBe('ERR_STORE_UNSUPPORTED')
    const fuse = store()
    writeFileSync(join(fuse, 'overlay/.has-mount-program'), 'true')
    expect(trees(fuse)).toBe('ERR_STORE_UNSUPPORTED')
    const mapped = [{ ...LAYERS[0], uidmap: [{ container_id: 0, host_id: 1000, size: 10 }] }, LAYERS[1]]
    expect(trees(store({ layers: mapped }))).toBe('ERR_STORE_UNSUPPORTED')
    const foreign = store()
    chownSync(foreign, 12345, 0)
    expect(trees(foreign)).toBe('ERR_STORE_UNSUPPORTED')
  })
})

import { existsSync } from 'node:fs'
import { copyFile, mkdir, readFile, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { startDockerRegistry } from '../helpers/docker-registry.ts'
import { writeOciLayout } from '../helpers/oci-layout.ts'
import { outputOf, runProgram } from '../helpers/programs.ts'

/** What is known of the images for pulls; kept beside them. */
export interface BigImages {
  readonly format: number
  /** Directory of a registry that holds `one` and `multi`, each with the tags `gzip` and `zstd`. */
  readonly storage: string
  readonly one: LayerSizes
  readonly multi: LayerSizes
}

interface LayerSizes {
  readonly layers: number
  readonly entries: number
  readonly tarBytes: number
}

/** Packages of the single-layer image, and of the nine layers of the other: each layer is what an `apt-get install` adds. */
const BASE = ['ca-certificates']
const LAYERS = [
  ['python3'],
  ['nodejs'],
  ['gcc', 'libc6-dev'],
  ['git'],
  ['curl', 'vim', 'rsync', 'jq'],
  ['perl-doc'],
  ['ruby'],
  ['golang-1.19-src'],
]
const SUITE = 'bookworm'
/** Counted up when the contents change, so that old ones in the cache are made anew. */
const FORMAT = 1
const CACHE = '/var/tmp/podlib-bench'

/** The images for pulls, made from Debian packages on first use (some minutes) and kept under /var/tmp/podlib-bench. */
export async function bigImages(say: (text: string) => void): Promise<BigImages> {
  const record = join(CACHE, 'images.json')
  const known = existsSync(record) ? (JSON.parse(await readFile(record, 'utf8')) as BigImages) : undefined
  if (known?.format === FORMAT) return known
  await rm(CACHE, { recursive: true, force: true })
  const work = join(CACHE, 'work')
  await mkdir(join(work, 'layers'), { recursive: true })
  say('making the images for pulls from Debian packages; this is done once')
  const tars = await layerTars(work, say)
  const one = join(work, 'one.tar')
  await packTree(join(work, 'merged'), one)
  await runProgram('umount', [join(work, 'merged')])
  const images = { format: FORMAT, storage: join(CACHE, 'registry'), one: await sizes([one]), multi: await sizes(tars) }
  await publish(images, { one: [one], multi: tars }, work, say)
  await rm(work, { recursive: true, force: true })
  await writeFile(record, JSON.stringify(images, undefined, 2))
  return images
}

/** One tar a layer, bottom first. The tree of all layers stays mounted at `merged`. */
async function layerTars(work: string, say: (text: string) => void): Promise<string[]> {
  const base = join(work, 'layers/0')
  say(`layer 1: Debian ${SUITE}`)
  await runProgram('mmdebstrap', ['--quiet', '--variant=minbase', `--include=${BASE.join(',')}`, SUITE, base])
  await copyFile('/etc/resolv.conf', join(base, 'etc/resolv.conf'))
  const tars = [join(work, '0.tar')]
  await packTree(base, join(work, '0.tar'))
  const lowers = [base]
  for (const [index, packages] of LAYERS.entries()) {
    say(`layer ${index + 2}: ${packages.join(' ')}`)
    const upper = join(work, `layers/${index + 1}`)
    await withOverlay({ lowers, upper, work }, (merged) => installPackages(merged, packages), index === LAYERS.length - 1)
    const tar = join(work, `${index + 1}.tar`)
    await packTree(upper, tar)
    tars.push(tar)
    lowers.unshift(upper)
  }
  return tars
}

interface OverlayPlace {
  readonly lowers: readonly string[]
  readonly upper: string
  readonly work: string
}

async function withOverlay({ lowers, upper, work }: OverlayPlace, fill: (merged: string) => Promise<void>, keep: boolean): Promise<void> {
  const [scratch, merged] = [join(work, 'scratch'), join(work, 'merged')]
  await rm(scratch, { recursive: true, force: true })
  for (const path of [upper, scratch, merged]) await mkdir(path, { recursive: true })
  const options = `lowerdir=${lowers.join(':')},upperdir=${upper},workdir=${scratch}`
  await runProgram('mount', ['-t', 'overlay', 'overlay', '-o', options, merged])
  let filled = false
  try {
    await fill(merged)
    filled = true
  } finally {
    if (!(filled && keep)) await runProgram('umount', [merged])
  }
}

async function installPackages(tree: string, packages: readonly string[]): Promise<void> {
  const env = { ...process.env, DEBIAN_FRONTEND: 'noninteractive', PATH: '/usr/sbin:/usr/bin:/sbin:/bin' }
  const apt = `apt-get update -q && apt-get install -y -q --no-install-recommends ${packages.join(' ')} && apt-get clean`
  await runProgram('chroot', [tree, 'sh', '-c', `${apt} && rm -rf /var/lib/apt/lists/*`], { env })
}

/** Packs a directory of an overlay; its whiteouts (character devices 0:0) become those of the image format. */
async function packTree(tree: string, tar: string): Promise<void> {
  const devices = (await outputOf('find', [tree, '-xdev', '-type', 'c', '-links', '1', '-printf', '%P\n'])).split('\n').filter(Boolean)
  const whiteouts = await filterWhiteouts(tree, devices)
  const excluded = whiteouts.flatMap((path) => ['--exclude', `./${path}`])
  await runProgram('tar', ['--numeric-owner', '--xattrs', '--one-file-system', ...excluded, '-C', tree, '-cf', tar, '.'])
  for (const path of whiteouts) await appendWhiteout(tar, path)
}

async function filterWhiteouts(tree: string, devices: readonly string[]): Promise<string[]> {
  const found: string[] = []
  for (const path of devices) if ((await outputOf('stat', ['-c', '%t:%T', join(tree, path)])).trim() === '0:0') found.push(path)
  return found
}

async function appendWhiteout(tar: string, path: string): Promise<void> {
  const mark = `${tar}.whiteout`
  await writeFile(mark, '')
  const name = path.replace(/([^/]+)$/, '.wh.$1')
  await runProgram('tar', ['--append', '-f', tar, '--transform', `s,^.*$,./${name},`, '-C', '/', '-P', mark])
}

async function sizes(tars: readonly string[]): Promise<LayerSizes> {
  let entries = 0
  let tarBytes = 0
  for (const tar of tars) {
    entries += Number(await outputOf('sh', ['-c', 'tar -tf "$0" | wc -l', tar]))
    tarBytes += Number(await outputOf('stat', ['-c', '%s', tar]))
  }
  return { layers: tars.length, entries, tarBytes }
}

async function publish(
  images: BigImages,
  tars: Record<'one' | 'multi', string[]>,
  work: string,
  say: (text: string) => void,
): Promise<void> {
  await using registry = await startDockerRegistry({ storage: images.storage })
  for (const name of ['one', 'multi'] as const) {
    for (const compression of ['gzip', 'zstd'] as const) {
      say(`publishing ${name}:${compression}`)
      const layout = join(work, `${name}-${compression}`)
      await writeOciLayout(layout, { tag: 'latest', run: { Cmd: ['bash'] }, layers: tars[name].map((tar) => ({ tar, compression })) })
      await registry.push(layout, 'latest', `${name}:${compression}`)
      await rm(layout, { recursive: true, force: true })
    }
  }
}

import { randomBytes } from 'node:crypto'
import { existsSync, lstatSync, mkdirSync, readdirSync, renameSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { hasImpliedDirectories, hasImpliedRoot, IMPLIED_ROOT, LAYER_TREE, OPAQUE_ROOT } from '../../archive/layer-files.ts'
import { errorCode, PodlibError } from '../../errors/errors.ts'
import type { Host } from '../../host/host.ts'
import { mappedRoot } from '../../host/mapped-directories.ts'
import { isSameProcess, readProcess } from '../../host/proc.ts'
import { type Digest, digestHex, isDigest } from '../../spec/digest.ts'
import type { LayerReference, StagedLayer, StorageDriver } from '../storage-driver.ts'
import { makeSearchable } from './searchable.ts'
import { stackCorrections } from './stack-corrections.ts'

/**
 * Layers as directories under kernel overlayfs:
 *
 * ```
 * <root>/layers/<hex of the diff ID>/fs/              the tree, one lower directory
 *                                    reassembly.zst   what it takes to write the layer's tar again
 * <root>/corrections/<top layer>-<chain ID>/fs/       goes on top of a stack that needs it, see `seal-layers`
 * <root>/staging/<pid>-<start time>-<random>/         the same, being unpacked by that process
 * <root>/containers/<id>/{upper,work}                 a container's writable part
 * <runRoot>/mounts/<id>/merged                        the merged view
 *           empty/                                    below the layers of a view that has fewer than two
 * ```
 */
export function createOverlayDriver(options: { readonly root: string; readonly runRoot: string; readonly host: Host }): StorageDriver {
  const { host } = options
  const layers = join(options.root, 'layers')
  const staging = join(options.root, 'staging')
  const containers = join(options.root, 'containers')
  const mounts = join(options.runRoot, 'mounts')
  const corrections = stackCorrections(join(options.root, 'corrections'))
  const layerPath = (diffId: Digest) => join(layers, digestHex(diffId))
  /** The trees of a stack, top first. */
  const trees = (stack: readonly LayerReference[]) => {
    const correction = stack.every((layer) => isDigest(layer)) ? corrections.tree(stack) : undefined
    const visible = visibleTrees(stack.map((layer) => (isDigest(layer) ? ownLayer(layer) : foreignLayer(layer))))
    return correction === undefined ? visible : [correction, ...visible]
  }
  const ownLayer = (diffId: Digest) => ({
    tree: join(layerPath(diffId), LAYER_TREE),
    opaque: existsSync(join(layerPath(diffId), OPAQUE_ROOT)),
  })
  const merged = (containerId: string) => join(mounts, containerId, 'merged')
  const mountPoints = (containerId: string) => [merged(containerId), ...mappedLayers(join(mounts, containerId))]
  const remove = (...paths: string[]) => host.run('remove-tree', { paths })

  /** In `staging`, a name that nobody else takes, by which `sweep` knows this process. */
  const privatePath = () => join(staging, `${process.pid}-${readProcess(process.pid)?.startTime}-${randomBytes(8).toString('hex')}`)

  const needsCorrection = (stack: readonly Digest[]) =>
    stack.some((diffId) => hasImpliedDirectories(layerPath(diffId))) || showsWrongRoot(stack.map(layerPath))

  /** Overlay must have two directories to merge: empty ones at the bottom change nothing. */
  function atLeastTwo(lowers: readonly string[]): string[] {
    const fillers = ['1', '2'].slice(0, Math.max(0, 2 - lowers.length)).map((name) => join(options.runRoot, 'empty', name))
    for (const path of fillers) mkdirSync(path, { recursive: true, mode: 0o755 })
    return [...lowers, ...fillers]
  }

  /** Layers that are being removed, from whatever process: what they were is the end of their names. */
  const doomed = (hex: string) => namesIn(staging).filter((name) => name.endsWith(`-${hex}`))

  async function removeLayer(layer: Digest | StagedLayer): Promise<void> {
    if (typeof layer !== 'string') return remove(layer.location)
    const hex = digestHex(layer)
    if (existsSync(layerPath(layer))) {
      // Renamed first: a removal that is cut short must not leave a directory that looks like a layer.
      mkdirSync(staging, { recursive: true, mode: 0o700 })
      renameSync(layerPath(layer), `${privatePath()}-${hex}`)
    }
    // Also what an attempt left whose worker was killed.
    const paths = [...doomed(hex).map((name) => join(staging, name)), ...corrections.ofTop(layer)]
    if (paths.length > 0) await remove(...paths)
  }

  /** Takes away what a job was making. The job does so itself, unless its worker was killed or the disk was full. */
  async function undone(path: string, error: unknown): Promise<never> {
    // What cannot be removed either is swept when this process is gone.
    await remove(path).catch(() => {})
    throw error
  }

  async function seal(stack: readonly Digest[]): Promise<boolean> {
    if (!needsCorrection(stack) || corrections.tree(stack) !== undefined) return false
    mkdirSync(staging, { recursive: true, mode: 0o700 })
    const [staged, target] = [privatePath(), corrections.path(stack)]
    const input = { layers: stack.map(layerPath), corrections: { staged, target } }
    return host.run('seal-layers', input).catch((error: unknown) => undone(staged, error))
  }

  const flush = () => host.run('sync-filesystem', { directory: options.root })

  return {
    name: 'overlay',

    async stage(source, { signal, onProgress, flushSoon = false } = {}) {
      mkdirSync(staging, { recursive: true, mode: 0o700 })
      const location = privatePath()
      const input = {
        source: { path: source.path, range: source.range },
        blob: source.blob,
        diffId: source.diffId,
        directory: location,
        xattrPrefix: host.facts.overlayXattrs,
        flushSoon,
      }
      try {
        const { opaqueRoot, hasRootEntry, ...layer } = await host.run('unpack-layer', input, { signal, onProgress })
        if (opaqueRoot) writeFileSync(join(location, OPAQUE_ROOT), '')
        if (!hasRootEntry) writeFileSync(join(location, IMPLIED_ROOT), '')
        return { ...layer, location }
      } catch (error) {
        return undone(location, error)
      }
    },

    async publish(staged: StagedLayer) {
      mkdirSync(layers, { recursive: true, mode: 0o700 })
      try {
        renameSync(staged.location, layerPath(staged.diffId))
      } catch (error) {
        if (!['ENOTEMPTY', 'EEXIST'].includes(errorCode(error) ?? '')) throw error
        await removeLayer(staged.diffId)
        renameSync(staged.location, layerPath(staged.diffId))
      }
    },

    removeLayer,

    seal,
    flush,

    async mount({ containerId, layers: stack, volatile, readOnly = false, ids }) {
      const target = merged(containerId)
      if (ids) makeSearchable(options.runRoot, mounts, mappedRoot(ids).uid)
      const own = join(containers, containerId)
      const lowers = trees(stack)
      const input = {
        ...(readOnly ? { lowers: atLeastTwo(lowers) } : { lowers, writable: { upper: join(own, 'upper'), work: join(own, 'work') } }),
        target,
        ids,
        userXattrs: host.facts.overlayXattrs === 'user',
        volatile,
      }
      await host.run('mount-rootfs', input).catch((error: unknown) => {
        const lost = stack.find((layer) => isDigest(layer) && !existsSync(layerPath(layer)))
        throw lost === undefined ? error : layerLost(lost, error)
      })
      return { path: target }
    },

    rootfs: (containerId) => ({ path: merged(containerId) }),

    async unmount(containerId, { remove: andRemove = false } = {}) {
      const targets = mountPoints(containerId)
      if (!andRemove) return host.run('unmount', { targets })
      const paths = [join(containers, containerId), join(mounts, containerId)]
      return host.run('remove-tree', { unmount: targets, paths })
    },

    async writeTar(diffId, { path, compression }, signal) {
      const input = { directory: layerPath(diffId), target: path, diffId, ...(compression && { compression }) }
      // Compressed it goes to a file of its own; as it is, perhaps to a pipe that ends in another job.
      return host.run('layer-tar', input, { signal, unqueued: compression === undefined })
    },

    async diff(from, to, signal) {
      // No image need have this stack: its directories are not yet as they would be.
      for (const stack of [from, to]) {
        if (stack.length > 1 && stack.every((layer) => isDigest(layer)) && (await seal(stack))) await flush()
      }
      return host.run('diff-layers', { from: trees(from), to: trees(to), xattrPrefix: host.facts.overlayXattrs }, { signal })
    },

    async sweep() {
      const abandoned = namesIn(staging).filter((name) => {
        const [pid, startTime] = name.split('-')
        return !isSameProcess(Number(pid), Number(startTime))
      })
      const obsolete = corrections.withoutTop((hex) => existsSync(join(layers, hex)))
      if (abandoned.length + obsolete.length > 0) await remove(...abandoned.map((name) => join(staging, name)), ...obsolete)
      return namesIn(layers)
        .map((hex) => `sha${hex.length * 4}:${hex}`)
        .filter((name) => isDigest(name))
    },
  }
}

/** Where a mount that was cut short may have left layers. */
function mappedLayers(directory: string): string[] {
  return namesIn(join(directory, 'mapped')).map((name) => join(directory, 'mapped', name))
}

/** Overlay shows the root as the uppermost layer has it, also where that has no entry for it. */
function showsWrongRoot(bottomFirst: readonly string[]): boolean {
  const [top, rightful] = [bottomFirst.at(-1), bottomFirst.findLast((layer) => !hasImpliedRoot(layer))]
  if (top === undefined || rightful === undefined || top === rightful) return false
  const [shown, wanted] = [lstatSync(join(top, LAYER_TREE)), lstatSync(join(rightful, LAYER_TREE))]
  return shown.uid !== wanted.uid || shown.gid !== wanted.gid || shown.mode !== wanted.mode
}

function namesIn(directory: string): string[] {
  return existsSync(directory) ? readdirSync(directory) : []
}

interface LocatedLayer {
  readonly tree: string
  /** It hides all below it. */
  readonly opaque: boolean
}

/** Top first, down to the first layer that hides all below it. */
function visibleTrees(bottomFirst: readonly LocatedLayer[]): string[] {
  const topFirst = [...bottomFirst].reverse()
  const opaque = topFirst.findIndex((layer) => layer.opaque)
  const visible = opaque < 0 ? topFirst : topFirst.slice(0, opaque + 1)
  // Overlay takes no directory twice. What a layer has shows in its uppermost place, and what it hides is hidden from there.
  return [...new Set(visible.map(({ tree }) => tree))]
}

function layerLost(diffId: string, cause: unknown): PodlibError {
  const text = `layer ${diffId} of the image is not in the store: pull the image again, and it is whole`
  return new PodlibError('ERR_LAYER_NOT_FOUND', text, { details: { diffId }, cause })
}

/** Nobody keeps the other program from removing it: what a container is made of may be gone at its next start. */
function foreignLayer(tree: string): LocatedLayer {
  if (lstatSync(tree, { throwIfNoEntry: false })?.isDirectory()) return { tree, opaque: false }
  const text = `the layer in ${tree} is gone from that image store: bring the image back there, or make the container anew`
  throw new PodlibError('ERR_LAYER_NOT_FOUND', text, { details: { path: tree } })
}

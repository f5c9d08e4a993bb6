import { chmodSync, closeSync, constants, ftruncateSync, lchownSync, linkSync, lstatSync, openSync, symlinkSync, writeSync } from 'node:fs'
import { LAYER_REASSEMBLY } from '../../../archive/layer-files.ts'
import { ReassemblyWriter } from '../../../archive/reassembly.ts'
import { TAR_BLOCK, type TarEntry } from '../../../archive/tar-entry.ts'
import type { TarSink } from '../../../archive/tar-reader.ts'
import { whiteoutRule } from '../../../archive/whiteout.ts'
import { errorCode, PodlibError } from '../../../errors/errors.ts'
import type { Digest } from '../../../spec/digest.ts'
import { makedev, mknod } from '../../sys/libc.ts'
import { applyToFile, applyToPath, applyXattrs, type HostPath, setTimes } from './attributes.ts'
import { invalid, LayerDisk, type LayerShape } from './layer-disk.ts'
import { ABSENT, childPath, EMPTY_FILE, findNode, type LeafNode, nameComponents, OTHER, WHITEOUT } from './layer-tree.ts'

/** How much a layer may be. */
export interface LayerLimits {
  /** Of the tar, and of all its files with their holes. */
  readonly maxBytes: number
  readonly maxEntries: number
}

/** What became of a whole layer. */
export interface UnpackedTree extends LayerShape {
  readonly entries: number
  /** Estimated space on disk: whole 4 KiB blocks of files and directories, and the side file. */
  readonly usageBytes: number
  /** Devices that could not be made here: a user namespace forbids it. */
  readonly skippedDevices: number
  readonly ignoredXattrs: number
}

const DISK_BLOCK = 4096
const NEW_FILE = constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL | constants.O_NOFOLLOW
const FILE_TYPE = { 'character-device': 0o020000, 'block-device': 0o060000, fifo: 0o010000 } as const

/** Applies the entries of one layer's tar to a directory, as they come. */
export class LayerSink implements TarSink {
  /** The entry at hand, for error messages. */
  current: TarEntry | undefined
  entries = 0
  readonly #disk: LayerDisk
  readonly #side: ReassemblyWriter
  readonly #limits: LayerLimits
  #fd: number | undefined
  #fileBytes = 0
  #framingBytes = 0
  #usage = DISK_BLOCK
  #skippedDevices = 0

  constructor(options: { directory: string; xattrPrefix: 'trusted' | 'user'; limits: LayerLimits }) {
    this.#limits = options.limits
    this.#disk = new LayerDisk(options.directory, options.xattrPrefix)
    this.#side = new ReassemblyWriter(`${options.directory}/${LAYER_REASSEMBLY}`)
  }

  framing(bytes: Buffer): void {
    this.#framingBytes += bytes.length
    // Zeros may follow the end of a tar without limit.
    if (this.#framingBytes > this.#limits.maxBytes) throw tooLarge(`more than ${this.#limits.maxBytes} bytes`, this.#limits)
    this.#side.raw(bytes)
  }

  entry(entry: TarEntry): void {
    this.current = entry
    this.#count(entry)
    const components = nameComponents(entry.name, 'name')
    const rule = whiteoutRule(components)
    if (rule.kind === 'ordinary') this.#place(components, entry)
    else if (rule.kind === 'whiteout') this.#disk.whiteout([...components.slice(0, -1), rule.hides], entry)
    else if (rule.kind === 'opaque') this.#disk.opaque(components.slice(0, -1))
  }

  /** Content that becomes no file is kept in the side file. */
  data(bytes: Buffer, position: number): void {
    if (this.#fd === undefined) this.#side.raw(bytes)
    else writeAll(this.#fd, bytes, this.current?.sparse ? position : undefined)
  }

  entryEnd(): void {
    const entry = this.current as TarEntry
    const fd = this.#fd
    if (fd === undefined) return
    if (entry.sparse) ftruncateSync(fd, entry.size)
    applyToFile(fd, entry, this.#disk)
    this.close()
  }

  /** All entries have come: sets what waited for that and closes the side file. */
  finish(size: number, diffId: Digest): UnpackedTree {
    this.current = undefined
    const shape = this.#disk.finish()
    this.#side.finish(size, diffId)
    const { entries } = this
    return { ...shape, entries, usageBytes: this.#usage + this.#side.size, skippedDevices: this.#skippedDevices, ...this.#disk.lost }
  }

  /** Closes what is open; for the end and for failures. */
  close(): void {
    if (this.#fd !== undefined) closeSync(this.#fd)
    this.#fd = undefined
  }

  closeAll(): void {
    this.close()
    this.#side.close()
  }

  #count(entry: TarEntry): void {
    const { maxBytes, maxEntries } = this.#limits
    this.entries++
    this.#fileBytes += entry.size
    if (this.entries > maxEntries) throw tooLarge(`more than ${maxEntries} entries`, this.#limits)
    if (Math.max(this.#fileBytes, entry.offset + TAR_BLOCK + entry.storedSize) > maxBytes)
      throw tooLarge(`more than ${maxBytes} bytes`, this.#limits)
    if (entry.type === 'directory') this.#usage += DISK_BLOCK
    this.#usage += Math.ceil(entry.storedSize / DISK_BLOCK) * DISK_BLOCK
  }

  #place(components: string[], entry: TarEntry): void {
    if (entry.type === 'directory') this.#disk.directory(components, entry)
    else if (components.length === 0) throw new PodlibError('ERR_LAYER_INVALID', `the root of a layer cannot be a ${entry.type}`)
    else if (entry.type === 'hard-link') this.#hardLink(components, entry)
    else {
      const parent = this.#disk.parent(components)
      const name = components.at(-1) as string
      this.#disk.clear(parent, name)
      parent.children.set(name, this.#make(childPath(parent, name), entry))
    }
  }

  #make(inTree: string, entry: TarEntry): LeafNode {
    const path = this.#disk.path(inTree)
    if (entry.type === 'file') return this.#openFile(path, inTree, entry)
    if (entry.type === 'symlink') symlinkSync(entry.linkName, path)
    else if (entry.type === 'fifo') mknod(path, FILE_TYPE.fifo | 0o600)
    else if (!this.#makeDevice(path, entry)) return ABSENT
    applyToPath(path, entry, this.#disk.lost)
    // A 0:0 character device is what overlay takes for a whiteout.
    return entry.type === 'character-device' && entry.deviceMajor === 0 && entry.deviceMinor === 0 ? WHITEOUT : OTHER
  }

  #openFile(path: HostPath, inTree: string, entry: TarEntry): LeafNode {
    const { storedSize: size, sparse } = entry
    this.#fd = openSync(path, NEW_FILE, entry.mode & 0o777)
    if (size === 0) return EMPTY_FILE
    return { kind: 'file', payload: this.#side.payload({ path: Buffer.from(inTree, 'latin1'), size, sparse }) }
  }

  #makeDevice(path: HostPath, { type, deviceMajor, deviceMinor }: TarEntry): boolean {
    try {
      mknod(path, FILE_TYPE[type as keyof typeof FILE_TYPE] | 0o600, makedev(deviceMajor, deviceMinor))
      return true
    } catch (error) {
      if (errorCode(error) !== 'EPERM') throw error
      this.#skippedDevices++
      return false
    }
  }

  /** A further name of a file of this layer. The target is relative to the root of the layer, even when it begins with a slash. */
  #hardLink(components: string[], entry: TarEntry): void {
    const targetPath = nameComponents(entry.linkName, 'link target')
    if (components.join('/') === targetPath.join('/') && this.#linkTarget(targetPath)) return
    const parent = this.#disk.parent(components)
    this.#linkTarget(targetPath)
    const name = components.at(-1) as string
    this.#disk.clear(parent, name)
    // Looked up again: the target may have been in a directory that was in the way.
    const target = this.#linkTarget(targetPath)
    parent.children.set(name, target.kind === 'file' ? EMPTY_FILE : target)
    if (target.kind === 'absent') return
    const path = this.#disk.path(childPath(parent, name))
    linkSync(this.#disk.path(targetPath.join('/')), path)
    this.#applyToLink(path, entry)
  }

  #linkTarget(components: string[]): LeafNode {
    const target = findNode(this.#disk.root, components)
    if (target !== undefined && target.kind !== 'directory' && target.kind !== 'whiteout') return target
    throw invalid('cannot make a hard link to what is not a file of this layer', components)
  }

  // The attributes of the last name win, as in other engines. An unneeded chown would clear security.capability.
  #applyToLink(path: HostPath, entry: TarEntry): void {
    const { uid, gid, mode } = lstatSync(path)
    const sameOwner = uid === entry.uid && gid === entry.gid
    if (!sameOwner) lchownSync(path, entry.uid, entry.gid)
    const isSymlink = (mode & constants.S_IFMT) === constants.S_IFLNK
    if (!isSymlink && (!sameOwner || (mode & 0o7777) !== entry.mode)) chmodSync(path, entry.mode)
    applyXattrs(path, entry, this.#disk.lost)
    setTimes(path, entry)
  }
}

function writeAll(fd: number, bytes: Buffer, position: number | undefined): void {
  for (let done = 0; done < bytes.length; ) {
    done += writeSync(fd, bytes, done, bytes.length - done, position === undefined ? null : position + done)
  }
}

function tooLarge(what: string, limits: LayerLimits): PodlibError {
  return new PodlibError('ERR_LAYER_TOO_LARGE', `the layer has ${what}`, { details: { ...limits } })
}

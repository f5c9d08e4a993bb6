import { createHash } from 'node:crypto'
import { closeSync, mkdirSync, openSync, readFileSync, renameSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import type { SpecSeccomp } from '../spec/runtime.ts'

/** crun takes a compiled filter, as base64, from this annotation in place of `linux.seccomp`. */
export const SECCOMP_ANNOTATION = 'run.oci.seccomp_bpf_data'

/** Size of a `struct sock_filter`, of which a filter is a list. */
const INSTRUCTION_BYTES = 8
const DIGEST_BYTES = 32

/** How often and how long to look for the filter of a container that is being created. */
const LOOK_MS = 1
const LOOK_FOR_MS = 1_000

export interface SeccompCacheOptions {
  /** Where filters are kept, 0700. */
  readonly directory: string
  /** The runtime's program: a filter belongs to the very build that compiled it. */
  readonly program: string
  /** The runtime's state directory, where it leaves the filter of each container. */
  readonly runtimeRoot: string
}

/**
 * Compiled seccomp filters. Compiling the usual profile takes crun longer than everything else it does for
 * a container, and gives the same bytes every time; crun leaves them beside its state. So the filter of
 * the first container with a profile is kept, and handed over to crun with the next one.
 *
 * A file is the filter and then its digest. Nobody waits for it to be on the disk, so a power failure can leave it empty, cut, or
 * with zeros in it, which as a filter might let through what it should not: what does not fit its digest is removed and made anew.
 */
export class SeccompCache {
  readonly #options: SeccompCacheOptions
  readonly #filters = new Map<string, string>()
  /** Containers whose filter is worth keeping, with the name to keep it under. */
  readonly #wanted = new Map<string, string>()

  constructor(options: SeccompCacheOptions) {
    this.#options = options
  }

  /** The filter for a profile as base64. When there is none, that of the container `id` will be kept by {@link harvest}. */
  find(id: string, profile: SpecSeccomp): string | undefined {
    const key = this.#key(profile)
    const filter = this.#filters.get(key) ?? this.#read(key)
    if (filter === undefined) this.#wanted.set(id, key)
    else this.#filters.set(key, filter)
    return filter
  }

  /** Whether the filter of a container is still to be kept. */
  wants(id: string): boolean {
    return this.#wanted.has(id)
  }

  forget(id: string): void {
    this.#wanted.delete(id)
  }

  /** Keeps the filter of a container that the runtime has created. */
  harvest(id: string): void {
    const fd = this.#open(id)
    if (fd === undefined) return
    try {
      this.#keep(id, fd)
    } finally {
      closeSync(fd)
    }
  }

  /**
   * Keeps the filter of a container that runs and goes in one call: its file is opened as soon as it is
   * there and read after the end, when it is surely complete.
   *
   * @param ended settles when the container is gone; rejects when it never came to be.
   */
  async harvestWhileRunning(id: string, ended: Promise<unknown>): Promise<void> {
    let over = false
    const end = ended.then(
      () => true,
      () => false,
    )
    void end.then(() => (over = true))
    const deadline = Date.now() + LOOK_FOR_MS
    let fd = this.#open(id)
    while (fd === undefined && !over && Date.now() < deadline) {
      await delay(LOOK_MS)
      fd = this.#open(id)
    }
    if (fd === undefined) return this.forget(id)
    try {
      if (await end) this.#keep(id, fd)
      else this.forget(id)
    } finally {
      closeSync(fd)
    }
  }

  #keep(id: string, fd: number): void {
    const key = this.#wanted.get(id)
    this.#wanted.delete(id)
    const filter = readFileSync(fd)
    if (key === undefined || !isFilter(filter)) return
    this.#filters.set(key, filter.toString('base64'))
    try {
      this.#write(key, filter)
    } catch {
      // A full or read-only disk is no reason to fail a container; the next process compiles once more.
    }
  }

  #write(key: string, filter: Buffer): void {
    const { directory } = this.#options
    mkdirSync(directory, { recursive: true, mode: 0o700 })
    // Two processes may keep the same filter at once: each publishes a whole file.
    const staged = join(directory, `.${key}.${process.pid}`)
    writeFileSync(staged, Buffer.concat([filter, digest(filter)]), { mode: 0o600 })
    renameSync(staged, join(directory, key))
  }

  #open(id: string): number | undefined {
    try {
      return openSync(join(this.#options.runtimeRoot, id, 'seccomp.bpf'), 'r')
    } catch {
      return undefined
    }
  }

  #read(key: string): string | undefined {
    const path = join(this.#options.directory, key)
    try {
      const bytes = readFileSync(path)
      const filter = bytes.subarray(0, -DIGEST_BYTES)
      if (isFilter(filter) && digest(filter).equals(bytes.subarray(-DIGEST_BYTES))) return filter.toString('base64')
      rmSync(path)
    } catch {
      // There is none, or none that can be read: the runtime compiles it once more.
    }
    return undefined
  }

  #key(profile: SpecSeccomp): string {
    const { size, mtimeMs, ino } = statSync(this.#options.program)
    const build = [this.#options.program, size, mtimeMs, ino, process.arch].join('\0')
    return createHash('sha256').update(build).update('\0').update(JSON.stringify(profile)).digest('hex')
  }
}

function isFilter(bytes: Buffer): boolean {
  return bytes.length > 0 && bytes.length % INSTRUCTION_BYTES === 0
}

function digest(filter: Buffer): Buffer {
  return createHash('sha256').update(filter).digest()
}

import { readFileSync } from 'node:fs'
import { availableParallelism, release, totalmem } from 'node:os'
import { type Composition, compose } from './compose.ts'
import { Containers } from './container/containers.ts'
import type { OutputEncoding } from './container/exec.ts'
import { recoverContainers } from './container/recover.ts'
import { runOnce } from './container/run.ts'
import type { RunOptions, RunResult } from './container/run-options.ts'
import { isPodlibError, PodlibError } from './errors/errors.ts'
import type { PodlibEvent } from './events/event.ts'
import type { EventQuery } from './events/event-log.ts'
import { ImageTrust } from './image/image-trust.ts'
import { Images } from './image/images.ts'
import type { Context } from './lifecycle/context.ts'
import { recoverStore } from './lifecycle/recover.ts'
import { type ResolvedOptions, type RuntimeOptions, resolveOptions } from './options.ts'
import { Registries } from './registries.ts'
import { listContainers } from './state/container-listing.ts'
import { listImages } from './state/image-table.ts'
import { ownPackageFile } from './util/own-file.ts'

/** What a runtime works with. @public */
export interface RuntimeInfo {
  readonly version: string
  readonly root: string
  readonly runRoot: string
  /** Name and first line of `--version`. */
  readonly ociRuntime: { readonly name: string; readonly path: string; readonly version: string }
  /** Null where conmon is not installed: `run` works without, lasting containers do not. */
  readonly monitor: { readonly name: string; readonly version: string } | null
  readonly storageDriver: string
  readonly host: {
    readonly platform: string
    readonly kernel: string
    readonly cpus: number
    readonly memoryBytes: number
    readonly cgroupVersion: 1 | 2
    /** Controllers that containers are limited with; none means that limits have no effect. */
    readonly cgroupControllers: readonly string[]
    /** Whether containers are made in a user namespace: this user's own, or one that the program was started in. */
    readonly rootless: boolean
    /** How many user ids containers can have. */
    readonly userIds: number
  }
  readonly containers: { readonly total: number; readonly running: number }
  readonly images: number
}

/**
 * A store of images and containers, and what it takes to run them. Several may be open at once, in one program and in
 * several, also on the same store.
 *
 * @example
 * ```ts
 * await using runtime = await Runtime.open()
 * const { stdout } = await runtime.run('docker.io/library/alpine:3.20', ['uname', '-a'])
 * ```
 * @public
 */
export class Runtime implements AsyncDisposable {
  /** The images of the store. */
  readonly images: Images
  /** The containers of the store. */
  readonly containers: Containers
  /** Registries, and the credentials for them. */
  readonly registries: Registries
  /** Which images may come into the store. */
  readonly trust: ImageTrust
  readonly #context: Context
  readonly #options: ResolvedOptions
  readonly #composition: Composition
  #closing: Promise<void> | undefined

  private constructor(composition: Composition, options: ResolvedOptions) {
    this.#composition = composition
    this.#context = composition.context
    this.#options = options
    this.images = new Images(composition.context)
    this.containers = new Containers(composition.context)
    this.registries = new Registries(composition.context)
    this.trust = new ImageTrust(composition.context)
  }

  /**
   * Opens a store, makes it when it is new, and mends what an earlier process left unfinished.
   *
   * @throws ERR_UNSUPPORTED_PLATFORM, ERR_UNSUPPORTED_NODE, ERR_STORE_*, ERR_INVALID_ARGUMENT
   */
  static async open(options: RuntimeOptions = {}): Promise<Runtime> {
    if (process.platform !== 'linux') {
      throw new PodlibError(
        'ERR_UNSUPPORTED_PLATFORM',
        `podlib runs on Linux, not on ${process.platform}: use it inside a Linux virtual machine`,
      )
    }
    const resolved = resolveOptions(options)
    const composition = await compose(resolved)
    try {
      await recoverStore(composition.context)
      await recoverContainers(composition.context)
      return new Runtime(composition, resolved)
    } catch (error) {
      await composition.close()
      throw error
    }
  }

  /**
   * Runs a command in a new container of an image, waits for its end and removes the container, whatever happens. An image
   * that is not in the store is pulled. A code other than 0 is no error.
   *
   * `argv` are the arguments after the image's entrypoint, as in `docker run`: without one, or with `entrypoint: ''`, its first is the
   * program. Empty it stands for the image's own command.
   *
   * What it said before its time was over, or until it was too
   * much, is in `stdout` and `stderr` of the error's `details`: at most `maxOutputBytes` of each, in the `encoding` that was asked for.
   *
   * @throws ERR_IMAGE_NOT_FOUND, what a pull throws, ERR_INVALID_ARGUMENT, ERR_OPTION_UNSUPPORTED, ERR_OCI_COMMAND_NOT_FOUND,
   * ERR_OCI_RUNTIME_PERMISSION, ERR_USER_NOT_FOUND, ERR_EXEC_TIMEOUT, ERR_OUTPUT_TOO_LARGE, and the signal's reason
   */
  run<Encoding extends OutputEncoding = 'utf8'>(
    image: string | { readonly id: string },
    argv: readonly string[],
    options?: RunOptions<Encoding>,
  ): Promise<RunResult<Encoding>> {
    return runOnce<Encoding>(this.#context, image, argv, options)
  }

  /**
   * What happened in the store, from a cursor or a time on, and with `follow` what happens from now on, in this and other
   * processes.
   */
  events(query?: EventQuery): AsyncIterableIterator<PodlibEvent> {
    return this.#context.events.events(query)
  }

  /** What this runtime works with. Looks for the programs that containers need. @throws ERR_PROGRAM_MISSING without an OCI runtime */
  async info(): Promise<RuntimeInfo> {
    const { db, platform } = this.#context
    const [runtime, monitor, storage, host, { facts }] = await Promise.all([
      this.#context.ociRuntime(),
      this.#context.monitor().catch(nullIfMissing),
      this.#context.storage(),
      this.#context.host(),
      this.#context.machine(),
    ])
    const containers = listContainers(db)
    return {
      version: packageVersion(),
      root: this.#options.root,
      runRoot: this.#options.runRoot,
      ociRuntime: { name: runtime.name, path: runtime.command.path, version: await runtime.version() },
      monitor: monitor && { name: monitor.name, version: await monitor.version() },
      storageDriver: storage.name,
      host: {
        platform: [platform.os, platform.architecture, ...(platform.variant ? [platform.variant] : [])].join('/'),
        kernel: release(),
        cpus: availableParallelism(),
        memoryBytes: totalmem(),
        cgroupVersion: facts.cgroupVersion,
        cgroupControllers: facts.cgroupControllers,
        rootless: host.facts.inUserNamespace,
        userIds: host.facts.uids.reduce((sum, { size }) => sum + size, 0),
      },
      containers: { total: containers.length, running: containers.filter(({ status }) => status === 'running').length },
      images: listImages(db).length,
    }
  }

  /**
   * Waits for what is being cleaned up and for the disk to have what was pulled, and lets go of everything. Containers run on.
   * Idempotent.
   */
  close(): Promise<void> {
    this.#closing ??= this.#composition.close()
    return this.#closing
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close()
  }
}

function nullIfMissing(error: unknown): null {
  if (isPodlibError(error, 'ERR_PROGRAM_MISSING')) return null
  throw error
}

function packageVersion(): string {
  const text = readFileSync(ownPackageFile(), 'utf8')
  return (JSON.parse(text) as { version: string }).version
}

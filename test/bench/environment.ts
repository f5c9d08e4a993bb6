import { join } from 'node:path'
import type { Runtime as OpenRuntime, RuntimeOptions } from '../../src/index.ts'
import { type DockerRegistry, startDockerRegistry } from '../helpers/docker-registry.ts'
import { openPodman, type Podman } from '../helpers/podman.ts'
import { writeSmallImage } from '../helpers/small-image.ts'
import { type BigImages, bigImages } from './big-images.ts'
import { Runtime } from './built-podlib.ts'
import { type FreshFilesystem, freshFilesystem } from './fresh-filesystem.ts'

export type OciRuntimeName = 'crun' | 'runc'

/** A peer or podlib with the small image in its store, and the name to call it by. */
export interface Ready<Side> {
  readonly side: Side
  readonly image: string
}

/** Where a runtime lives: below `parent` (the directory of this run unless told otherwise), spoken to `host` without TLS. */
export interface RuntimePlace {
  readonly name: string
  readonly host?: string
  readonly ociRuntime?: OciRuntimeName
  readonly parent?: string
}

/** A policy as it is on a machine that trusts the registries that it names. */
const POLICY = { default: [{ type: 'insecureAcceptAnything' }] }

/** What the cases share, the stores of both sides on one file system. Everything is made on first use and taken away at the end. */
export class BenchEnvironment implements AsyncDisposable {
  readonly directory: string
  readonly say: (text: string) => void
  readonly #filesystem: FreshFilesystem
  readonly #cleanups: (() => PromiseLike<void>)[] = []
  readonly #made = new Map<string, Promise<unknown>>()

  private constructor(filesystem: FreshFilesystem, say: (text: string) => void) {
    this.directory = filesystem.path
    this.#filesystem = filesystem
    this.say = say
  }

  static async open(say: (text: string) => void): Promise<BenchEnvironment> {
    return new BenchEnvironment(await freshFilesystem(), say)
  }

  /** podlib with a store of its own that has the small image. */
  podlib(ociRuntime: OciRuntimeName = 'crun'): Promise<Ready<OpenRuntime>> {
    return this.#once(`podlib ${ociRuntime}`, async () => {
      const { image, host } = await this.smallImage()
      const side = await this.openRuntime({ name: `podlib-${ociRuntime}`, ociRuntime, host })
      await side.images.pull(image)
      return { side, image }
    })
  }

  /** Opens a runtime of its own; the caller may close it earlier than the end. */
  async openRuntime(place: RuntimePlace): Promise<OpenRuntime> {
    const runtime = await Runtime.open(this.runtimeOptions(place))
    this.#cleanups.push(() => runtime.close())
    return runtime
  }

  runtimeOptions({ name, host, ociRuntime = 'crun', parent = this.directory }: RuntimePlace): RuntimeOptions {
    const [root, runRoot] = [join(parent, name, 'root'), join(parent, name, 'run')]
    return { root, runRoot, ociRuntime, policy: POLICY, ...(host !== undefined && { insecureRegistries: [host] }) }
  }

  /** podman with a store of its own that has the small image, shared by the cases. */
  podman(ociRuntime: OciRuntimeName = 'crun'): Promise<Ready<Podman>> {
    return this.#once(`podman ${ociRuntime}`, () => this.newPodman(ociRuntime))
  }

  /** One more podman with the small image. */
  async newPodman(ociRuntime: OciRuntimeName = 'crun'): Promise<Ready<Podman>> {
    const { image } = await this.smallImage()
    const side = await this.openPodman(ociRuntime)
    await side.run('pull', '--quiet', '--tls-verify=false', image)
    return { side, image }
  }

  /** A podman with an empty store below `parent`; the caller may close it earlier than the end. */
  async openPodman(ociRuntime: OciRuntimeName, parent = this.directory): Promise<Podman> {
    const side = await openPodman({ ociRuntime, parent })
    this.#cleanups.push(() => side[Symbol.asyncDispose]())
    return side
  }

  /** A file system that has never held a file; the caller may close it earlier than the end. */
  async freshFilesystem(): Promise<FreshFilesystem> {
    const filesystem = await freshFilesystem()
    this.#cleanups.push(() => filesystem[Symbol.asyncDispose]())
    return filesystem
  }

  /** The registry with the big images. */
  bigImages(): Promise<{ readonly images: BigImages; readonly registry: DockerRegistry }> {
    return this.#once('big images', async () => {
      const images = await bigImages(this.say)
      const registry = await startDockerRegistry({ storage: images.storage })
      this.#cleanups.push(() => registry[Symbol.asyncDispose]())
      return { images, registry }
    })
  }

  /** Makes something once for all cases that name it so. */
  once<Value>(name: string, make: () => Promise<Value>): Promise<Value> {
    return this.#once(`case ${name}`, make)
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const cleanUp of this.#cleanups.splice(0).reverse()) {
      // One that fails must not keep the others from their turn.
      await Promise.resolve(cleanUp()).catch((error: unknown) => this.say(`cannot clean up: ${(error as Error).message}`))
    }
    await this.#filesystem[Symbol.asyncDispose]()
  }

  /** A small image in a registry on this machine. */
  smallImage(): Promise<{ readonly image: string; readonly host: string }> {
    return this.#once('small image', async () => {
      const layout = join(this.directory, 'small-image')
      await writeSmallImage(layout)
      const registry = await startDockerRegistry()
      this.#cleanups.push(() => registry[Symbol.asyncDispose]())
      await registry.push(layout, 'latest', 'small:latest')
      return { image: `${registry.host}/small:latest`, host: registry.host }
    })
  }

  #once<Value>(name: string, make: () => Promise<Value>): Promise<Value> {
    const known = this.#made.get(name) ?? make()
    this.#made.set(name, known)
    // The next case tries again.
    known.catch(() => this.#made.delete(name))
    return known as Promise<Value>
  }
}

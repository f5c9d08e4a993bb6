import { spawnSync } from 'node:child_process'
import { mkdtempSync, rmdirSync, rmSync } from 'node:fs'
import { rename } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { afterAll, afterEach, beforeAll, beforeEach, expect } from '@jest/globals'
import { Runtime, type RuntimeOptions } from '../../src/index.ts'
import { type Ability, lacking } from './abilities.ts'
import { startDockerRegistry } from './docker-registry.ts'
import { type MadeOnce, madeOnce } from './made-once.ts'
import { runProgram } from './programs.ts'
import { cgroupDirectories, type StorePlace, traces } from './runtime-traces.ts'
import { writeSmallImage } from './small-image.ts'

/** What every test with a runtime needs of the machine, beside its OCI runtime. */
export const RUNTIME_NEEDS: readonly Ability[] = ['root', 'crun', 'conmon', 'docker-registry', 'skopeo']

/** The name of the image that every store has. */
export const SMALL = 'localhost/small:latest'
export const ACCEPT_ANYTHING = { default: [{ type: 'insecureAcceptAnything' }] }

/** A store of its own, with the small image in it, and everything that is open on it. */
export interface RuntimeStore extends StorePlace {
  /** What `Runtime.open` is called with; plain data, so that other programs can open the store too. */
  readonly options: RuntimeOptions
  /** Opens a runtime, which is closed at the latest when the store goes. */
  open(more?: RuntimeOptions): Promise<Runtime>
  /** Waits until what is on the host is what the rows tell of; what is open stays open. */
  expectNothingUnknown(): Promise<void>
  /** Closes what is open, and waits until what is left on the host belongs to containers that run. */
  expectNothingLeaked(): Promise<void>
}

export interface RuntimeLab {
  /** A fresh copy of a store with the small image. One that is made in a test goes at its end, any other after the last. */
  store(options?: RuntimeOptions): Promise<RuntimeStore>
  /** The same without the image: a directory that is not there yet. */
  emptyStore(options?: RuntimeOptions): Promise<RuntimeStore>
}

/** Call it in the body of a test file. Each store that goes must leave nothing behind. */
export function runtimeLab(): RuntimeLab {
  const stores: { readonly inTest: boolean; readonly store: OpenStore }[] = []
  let template: MadeOnce | undefined
  let inTest = false
  const end = async (which: (inTest: boolean) => boolean) => {
    const ending = stores.filter((entry) => which(entry.inTest))
    for (const entry of ending) stores.splice(stores.indexOf(entry), 1)
    for (const { store } of ending) await store.end()
  }
  beforeAll(async () => {
    if (lacking(RUNTIME_NEEDS).length === 0) template = await madeOnce('store', makeTemplate)
  }, 60_000)
  beforeEach(() => {
    inTest = true
  })
  afterEach(async () => {
    inTest = false
    await end((made) => made)
  }, 30_000)
  afterAll(async () => {
    await end(() => true)
    await template?.release()
  }, 30_000)
  const add = (store: OpenStore) => {
    stores.push({ inTest, store })
    return store
  }
  return {
    async store(options = {}) {
      const store = new OpenStore(options)
      add(store)
      await runProgram('cp', ['-a', (template as MadeOnce).path, store.root])
      return store
    },
    async emptyStore(options = {}) {
      return add(new OpenStore(options))
    },
  }
}

/** Repeats an expectation until it holds, or fails with its last failure after some seconds. */
export async function eventually(expectation: () => unknown, timeoutMs = 10_000): Promise<void> {
  const deadline = Date.now() + timeoutMs
  while (true) {
    try {
      await expectation()
      return
    } catch (error) {
      if (Date.now() > deadline) throw error
    }
    await sleep(25)
  }
}

/** The root of a store with the small image, which nobody has open. */
async function makeTemplate(path: string): Promise<void> {
  const template = new OpenStore({})
  try {
    await using registry = await startDockerRegistry()
    const layout = join(template.directory, 'layout')
    await writeSmallImage(layout)
    await registry.push(layout, 'latest', 'small:latest')
    const runtime = await template.open({ insecureRegistries: [registry.host] })
    const image = await runtime.images.pull(`${registry.host}/small:latest`)
    await image.tag(SMALL)
    await image.untag(`${registry.host}/small:latest`)
    await template.expectNothingLeaked()
    await rename(template.root, path)
  } finally {
    template.takeAway()
  }
}

class OpenStore implements RuntimeStore {
  readonly directory = mkdtempSync(join(tmpdir(), 'podlib-store-'))
  readonly root = join(this.directory, 'root')
  readonly runRoot = join(this.directory, 'run')
  readonly cgroupParent = `/podlib-test-${this.directory.slice(-6)}`
  readonly options: RuntimeOptions
  readonly #opened: Runtime[] = []

  constructor(options: RuntimeOptions) {
    const { root, runRoot, cgroupParent } = this
    this.options = { root, runRoot, cgroupParent, policy: ACCEPT_ANYTHING, registriesConf: '/dev/null', ...options }
  }

  async open(more: RuntimeOptions = {}): Promise<Runtime> {
    const runtime = await Runtime.open({ ...this.options, ...more })
    this.#opened.push(runtime)
    return runtime
  }

  async expectNothingLeaked(): Promise<void> {
    for (const runtime of this.#opened.splice(0)) await runtime.close()
    await eventually(async () => expect(await traces(this)).toEqual([]))
  }

  async expectNothingUnknown(): Promise<void> {
    await eventually(async () => expect((await traces(this)).filter((trace) => !trace.startsWith('descriptor'))).toEqual([]))
  }

  /** Removes what a test made, looks for what that left, and takes the directory away. */
  async end(): Promise<void> {
    try {
      const runtime = await this.#usable()
      for (const { id } of (await runtime?.containers.list()) ?? []) await (await runtime?.containers.get(id))?.remove({ force: true })
      await this.expectNothingLeaked()
    } finally {
      this.takeAway()
    }
  }

  /** A runtime that a test left open is as good as a new one. */
  async #usable(): Promise<Runtime | undefined> {
    for (const runtime of this.#opened) {
      if (
        await runtime.containers.list().then(
          () => true,
          () => false,
        )
      )
        return runtime
    }
    return this.open().catch(() => undefined)
  }

  takeAway(): void {
    spawnSync('sh', ['-c', `for m in $(grep -o '${this.directory}[^ ]*' /proc/self/mounts | sort -ru); do umount -l "$m"; done`])
    rmSync(this.directory, { recursive: true, force: true })
    for (const path of cgroupDirectories(this)) {
      try {
        rmdirSync(path)
      } catch {
        // Not empty: the test has failed because of it.
      }
    }
  }
}

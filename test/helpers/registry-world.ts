import { afterEach } from '@jest/globals'
import type { PodlibError } from '../../src/errors/errors.ts'
import { createRegistryClient, type RegistryClient, type RegistryClientOptions } from '../../src/registry/registry-client.ts'
import { confFor, type FakeRegistry, type FakeRegistryOptions, startFakeRegistry } from './fake-registry.ts'

/** Fake registries and clients that end with the test. */
export interface RegistryWorld {
  readonly open: { close(): Promise<void> }[]
  registry(options?: FakeRegistryOptions): Promise<FakeRegistry>
  /** A client that may talk to these registries, and tries three times at short intervals. */
  client(registries: readonly FakeRegistry[], options?: RegistryClientOptions): RegistryClient
}

/** Call it in the body of a test file. */
export function registryWorld(defaults: FakeRegistryOptions = {}): RegistryWorld {
  const open: { close(): Promise<void> }[] = []
  afterEach(async () => {
    for (const thing of open.splice(0).reverse()) await thing.close()
  })
  return {
    open,
    async registry(options = {}) {
      const started = await startFakeRegistry({ ranges: true, ...defaults, ...options })
      open.push(started)
      return started
    },
    client(registries, options = {}) {
      const made = createRegistryClient({ registries: confFor(...registries), retry: { attempts: 3, baseDelayMs: 5 }, ...options })
      open.push(made)
      return made
    },
  }
}

/** What a promise rejects with. */
export function failure(promise: Promise<unknown>): Promise<PodlibError> {
  return promise.then(
    () => Promise.reject(new Error('should have failed')),
    (error) => error as PodlibError,
  )
}

export async function first<Value>(list: AsyncIterable<Value>): Promise<Value | undefined> {
  for await (const value of list) return value
  return undefined
}

export async function collect<Value>(list: AsyncIterable<Value>): Promise<Value[]> {
  const all: Value[] = []
  for await (const value of list) all.push(value)
  return all
}

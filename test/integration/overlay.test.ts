import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, describe } from '@jest/globals'
import type { Host } from '../../src/host/host.ts'
import { createOverlayDriver } from '../../src/storage/overlay/overlay-driver.ts'
import { storageDriverContract } from '../contract/storage-driver.ts'
import { temporaryDirectories } from '../helpers/temporary-directory.ts'
import { testHost } from '../helpers/worker.ts'

describe('the overlay driver', () => {
  const directory = temporaryDirectories()
  let host: Host
  beforeAll(() => {
    host = testHost()
  })
  afterAll(() => host.close())

  storageDriverContract(async () => {
    const work = directory()
    const [root, runRoot] = [join(work, 'root'), join(work, 'run')]
    for (const path of [root, runRoot]) mkdirSync(path)
    return { driver: createOverlayDriver({ root, runRoot, host }), work }
  })
})

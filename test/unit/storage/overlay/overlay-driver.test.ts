import { mkdirSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, test } from '@jest/globals'
import { PodlibError } from '../../../../src/errors/errors.ts'
import type { Host } from '../../../../src/host/host.ts'
import type { RemoveTreeInput } from '../../../../src/host/jobs/remove-tree.ts'
import type { SealLayersInput } from '../../../../src/host/jobs/seal-layers.ts'
import type { Digest } from '../../../../src/spec/digest.ts'
import { createOverlayDriver } from '../../../../src/storage/overlay/overlay-driver.ts'
import { temporaryDirectories } from '../../../helpers/temporary-directory.ts'

const HEX = 'a'.repeat(64)
const LAYER: Digest = `sha256:${HEX}`
const died = () => new PodlibError('ERR_HOST_WORKER_DIED', 'the host worker ended')

describe('the overlay driver, when its worker is killed', () => {
  const directory = temporaryDirectories()

  /** A driver whose worker is killed in the middle of the first jobs, as many as `deaths`. */
  function fragile(deaths: number) {
    const root = directory()
    let left = deaths
    const die = () => {
      if (left-- > 0) throw died()
    }
    const jobs = {
      'remove-tree'({ paths }: RemoveTreeInput) {
        die()
        for (const path of paths) rmSync(path, { recursive: true, force: true })
      },
      'seal-layers'({ corrections }: SealLayersInput) {
        mkdirSync(join(corrections.staged, 'fs'), { recursive: true })
        die()
      },
    }
    const run = async (name: keyof typeof jobs, input: never) => jobs[name](input)
    const host = { facts: { overlayXattrs: 'trusted' }, run } as unknown as Host
    const driver = createOverlayDriver({ root, runRoot: join(root, 'run'), host })
    return { driver, root, staged: () => readdirSync(join(root, 'staging')) }
  }

  test('in the middle of a removal removes the whole layer the next time, whoever asks', async () => {
    const { driver, root, staged } = fragile(1)
    mkdirSync(join(root, 'layers', HEX, 'fs'), { recursive: true })
    writeFileSync(join(root, 'layers', HEX, 'fs', 'file'), 'content')
    mkdirSync(join(root, 'corrections', `${HEX}-${'b'.repeat(64)}`), { recursive: true })
    await expect(driver.removeLayer(LAYER)).rejects.toMatchObject({ code: 'ERR_HOST_WORKER_DIED' })
    expect(readdirSync(join(root, 'layers'))).toEqual([])
    expect(staged()).toHaveLength(1)
    await driver.removeLayer(LAYER)
    expect([staged(), readdirSync(join(root, 'corrections'))]).toEqual([[], []])
  })

  test('in the middle of sealing a stack keeps nothing of what was being made for it', async () => {
    const { driver, root, staged } = fragile(1)
    mkdirSync(join(root, 'layers', HEX), { recursive: true })
    writeFileSync(join(root, 'layers', HEX, 'implied-directories'), 'a')
    await expect(driver.seal([LAYER])).rejects.toMatchObject({ code: 'ERR_HOST_WORKER_DIED' })
    expect(staged()).toEqual([])
  })
})

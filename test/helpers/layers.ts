import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll } from '@jest/globals'
import { writeLayerTar } from '../../src/host/jobs/layer-tar.ts'
import { type UnpackedLayer, type UnpackLayerInput, unpackLayer } from '../../src/host/jobs/unpack-layer.ts'

/** A bench for all tests of a file. Call it in its body. */
export function layerBench(): LayerBench {
  const bench = new LayerBench()
  afterAll(() => bench.remove())
  return bench
}

/** A temporary directory that layers are unpacked in, with a canary beside them that nothing may touch. */
export class LayerBench {
  readonly path = mkdtempSync(join(tmpdir(), 'podlib-layer-'))
  #next = 0

  /** Unpacks bytes of a blob into a fresh directory; `tree(...)` of the result looks inside. */
  async unpack(blob: Buffer, options: Partial<UnpackLayerInput> = {}, signal = new AbortController().signal): Promise<UnpackedBench> {
    const number = this.#next++
    const source = join(this.path, `blob-${number}`)
    const directory = join(this.path, `layer-${number}`)
    writeFileSync(source, blob)
    const input: UnpackLayerInput = {
      source: { path: source },
      blob: undefined,
      diffId: undefined,
      directory,
      xattrPrefix: 'trusted',
      ...options,
    }
    const result = await unpackLayer(input, { signal, report: () => {} })
    return { ...result, directory, fs: join(directory, 'fs') }
  }

  /** The tar of an unpacked layer, written again. */
  async tarOf(directory: string, compression?: 'gzip' | 'zstd'): Promise<Buffer> {
    const target = join(this.path, `tar-${this.#next++}`)
    await writeLayerTar({ directory, target, ...(compression && { compression }) }, { signal: new AbortController().signal })
    return readFileSync(target)
  }

  /** Names of what is left of failed unpackings: always none. */
  leftovers(): string[] {
    return readdirSync(this.path).filter((name) => name.startsWith('layer-'))
  }

  remove(): void {
    rmSync(this.path, { recursive: true, force: true })
  }
}

export interface UnpackedBench extends UnpackedLayer {
  readonly directory: string
  readonly fs: string
}

import { randomBytes } from 'node:crypto'
import type { PushContent } from '../../src/registry/client-interface.ts'
import { digestOf } from '../../src/spec/digest.ts'

/** Something to push, that knows how it was read. */
export interface TestContent extends PushContent {
  readonly bytes: Buffer
  /** How often it was opened. */
  opened: number
  /** How many readers are not through with it, and have not gone away either. */
  reading: number
}

export interface TestContentOptions {
  readonly pieceBytes?: number
  /** Called before every piece. */
  readonly before?: (position: number) => void | Promise<void>
}

export function contentOf(bytes: Buffer, { pieceBytes = 64 * 1024, before }: TestContentOptions = {}): TestContent {
  const content: TestContent = {
    bytes,
    digest: digestOf(bytes),
    size: bytes.length,
    opened: 0,
    reading: 0,
    async *open() {
      content.opened++
      content.reading++
      try {
        for (let position = 0; position < bytes.length; position += pieceBytes) {
          await before?.(position)
          yield bytes.subarray(position, position + pieceBytes)
        }
      } finally {
        content.reading--
      }
    },
  }
  return content
}

export function randomContent(size: number, options?: TestContentOptions): TestContent {
  return contentOf(randomBytes(size), options)
}

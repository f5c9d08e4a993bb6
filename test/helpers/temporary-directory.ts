import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach } from '@jest/globals'

/** Gives each test directories of its own, which go when it ends. Call it in the body of a test file or `describe`. */
export function temporaryDirectories(): () => string {
  const made: string[] = []
  afterEach(() => {
    for (const path of made.splice(0)) rmSync(path, { recursive: true, force: true })
  })
  return () => {
    const path = mkdtempSync(join(tmpdir(), 'podlib-test-'))
    made.push(path)
    return path
  }
}

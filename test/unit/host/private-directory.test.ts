import { chmodSync, chownSync, mkdirSync, statSync, symlinkSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, test } from '@jest/globals'
import { makePrivateDirectory } from '../../../src/host/private-directory.ts'
import { temporaryDirectories } from '../../helpers/temporary-directory.ts'
import { testNeeding } from '../../helpers/test-needing.ts'

const directory = temporaryDirectories()
const uid = process.getuid?.() ?? 0

describe('a private directory', () => {
  test('is made for its user alone, with its parents', () => {
    const path = join(directory(), 'a/b')
    makePrivateDirectory(path, uid)
    expect(statSync(path).mode & 0o777).toBe(0o700)
    makePrivateDirectory(path, uid)
  })

  test('may be there, readable for others', () => {
    const path = join(directory(), 'run')
    mkdirSync(path)
    chmodSync(path, 0o755)
    makePrivateDirectory(path, uid)
  })

  test('is refused when others may write it', () => {
    const path = join(directory(), 'run')
    mkdirSync(path)
    chmodSync(path, 0o1777)
    expect(() => makePrivateDirectory(path, uid)).toThrow(
      expect.objectContaining({ code: 'ERR_STORE_UNREADABLE', details: { path, uid, mode: 0o1777 } }),
    )
  })

  test('is refused when it is a link, even to a directory of the user’s', () => {
    const path = join(directory(), 'run')
    symlinkSync(directory(), path)
    expect(() => makePrivateDirectory(path, uid)).toThrow('is a link')
  })

  testNeeding(['root'], 'is refused when it belongs to somebody else', async () => {
    const path = join(directory(), 'run')
    mkdirSync(path, { mode: 0o700 })
    chownSync(path, 12345, 12345)
    expect(() => makePrivateDirectory(path, uid)).toThrow('belongs to user 12345')
  })
})

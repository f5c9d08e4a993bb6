import { lstatSync, mkdirSync, readdirSync, readFileSync, statSync, symlinkSync, utimesSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, test } from '@jest/globals'
import { editFile } from '../../../src/lock/edit-file.ts'
import { temporaryDirectories } from '../../helpers/temporary-directory.ts'

const newDirectory = temporaryDirectories()

describe('editing a file', () => {
  test('makes it, with its directory, for its owner alone, and leaves nothing else', async () => {
    const dir = join(newDirectory(), 'a', 'b')
    const path = join(dir, 'auth.json')
    await editFile(path, (text) => {
      expect(text).toBeUndefined()
      return '{}'
    })
    expect(readFileSync(path, 'utf8')).toBe('{}')
    expect(statSync(path).mode & 0o777).toBe(0o600)
    expect(readdirSync(dir)).toEqual(['auth.json'])
  })

  test('keeps the mode, and the link that leads to it', async () => {
    const dir = newDirectory()
    writeFileSync(join(dir, 'real'), 'old', { mode: 0o644 })
    symlinkSync('real', join(dir, 'link'))
    await editFile(join(dir, 'link'), async (text) => `${text} and new`, { mode: 0o600 })
    expect(readFileSync(join(dir, 'real'), 'utf8')).toBe('old and new')
    expect(statSync(join(dir, 'real')).mode & 0o777).toBe(0o644)
    expect(lstatSync(join(dir, 'link')).isSymbolicLink()).toBe(true)
  })

  test('leaves it untouched when there is nothing to change or the edit fails', async () => {
    const dir = newDirectory()
    const path = join(dir, 'file')
    writeFileSync(path, 'same')
    const { ino } = statSync(path)
    await editFile(path, () => undefined)
    await editFile(path, (text) => text)
    await expect(editFile(path, () => Promise.reject(new RangeError('no')))).rejects.toThrow(RangeError)
    expect(statSync(path).ino).toBe(ino)
    expect(readdirSync(dir)).toEqual(['file'])
  })

  test('by many at once loses no edit', async () => {
    const path = join(newDirectory(), 'file')
    const add = () => editFile(path, (text) => String(Number(text ?? 0) + 1))
    await Promise.all(Array.from({ length: 10 }, add))
    expect(readFileSync(path, 'utf8')).toBe('10')
  })

  test('waits no longer than asked for another editor, and takes over from a dead one', async () => {
    const path = join(newDirectory(), 'file')
    mkdirSync(`${path}.lock`)
    await expect(editFile(path, () => 'x', { timeoutMs: 50 })).rejects.toMatchObject({ code: 'ERR_LOCK_TIMEOUT' })
    await expect(editFile(path, () => 'x', { signal: AbortSignal.timeout(30) })).rejects.toMatchObject({ name: 'TimeoutError' })
    const longAgo = new Date(Date.now() - 60_000)
    utimesSync(`${path}.lock`, longAgo, longAgo)
    await editFile(path, () => 'mine')
    expect(readFileSync(path, 'utf8')).toBe('mine')
  })

  test('that is aborted while it waits for the edit changes nothing', async () => {
    const path = join(newDirectory(), 'file')
    const abort = new AbortController()
    const editing = editFile(
      path,
      () => {
        abort.abort(new Error('enough'))
        return 'x'
      },
      { signal: abort.signal },
    )
    await expect(editing).rejects.toThrow('enough')
    expect(readdirSync(join(path, '..'))).toEqual([])
  })
})

import { closeSync, constants, lstatSync, mkdirSync, openSync, readFileSync, statSync, symlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, test } from '@jest/globals'
import {
  flock,
  futimens,
  LOCK_EX,
  LOCK_NB,
  LOCK_UN,
  lgetxattr,
  llistxattr,
  lremovexattr,
  lsetxattr,
  makedev,
  mkfifo,
  mknod,
  mount,
  mountWithParameters,
  openInRoot,
  syncfsAsync,
  umount2,
  utimensat,
} from '../../../../src/host/sys/libc.ts'
import { dirtyPages } from '../../../helpers/dirty-pages.ts'
import { temporaryDirectories } from '../../../helpers/temporary-directory.ts'
import { testNeeding } from '../../../helpers/test-needing.ts'

const directory = temporaryDirectories()

describe('system calls', () => {
  test('fail with the code that Node would give', () => {
    expect(() => mkfifo('/nowhere/fifo')).toThrow(expect.objectContaining({ code: 'ENOENT', syscall: 'mknod' }))
  })

  test('refuse a path with a NUL byte, which would name another file', () => {
    expect(() => mkfifo('/tmp/a\0b')).toThrow(expect.objectContaining({ code: 'EINVAL' }))
  })

  test('set, list, read and remove extended attributes of any bytes', () => {
    const path = join(directory(), 'file')
    writeFileSync(path, '')
    const value = Buffer.from([0, 255, 192, 10])
    lsetxattr(path, 'user.bytes', value)
    expect(llistxattr(path)).toContain('user.bytes')
    expect(lgetxattr(path, 'user.bytes')).toEqual(value)
    lremovexattr(path, 'user.bytes')
    expect(lgetxattr(path, 'user.bytes')).toBeUndefined()
  })

  test('set times to the nanosecond, also before 1970, and of a link itself', () => {
    const root = directory()
    const [file, link] = [join(root, 'file'), join(root, 'link')]
    writeFileSync(file, '')
    symlinkSync('nowhere', link)
    utimensat(link, { seconds: 1, nanoseconds: 0 }, { seconds: -5, nanoseconds: 123_456_789 }, { nofollow: true })
    const fd = openSync(file, 'r')
    futimens(fd, { seconds: 1, nanoseconds: 0 }, { seconds: 7, nanoseconds: 1 })
    closeSync(fd)
    expect(statSync(file, { bigint: true }).mtimeNs).toBe(7_000_000_001n)
    expect(lstatSync(link, { bigint: true }).mtimeNs).toBe(-4_876_543_211n)
  })

  test('make nodes under names that are no UTF-8', () => {
    const path = Buffer.concat([Buffer.from(`${directory()}/`), Buffer.from([0xe9, 0xff])])
    mkfifo(path)
    expect(statSync(path).isFIFO()).toBe(true)
  })

  testNeeding(['root'], 'make devices with the numbers that were given', async () => {
    const path = join(directory(), 'device')
    mknod(path, 0o020600, makedev(259, 300))
    expect(BigInt(statSync(path).rdev)).toBe(makedev(259, 300))
  })

  test('lock a file against another descriptor', () => {
    const path = join(directory(), 'lock')
    const [first, second] = [openSync(path, 'w'), openSync(path, 'w')]
    flock(first, LOCK_EX | LOCK_NB)
    expect(() => flock(second, LOCK_EX | LOCK_NB)).toThrow(expect.objectContaining({ code: 'EWOULDBLOCK' }))
    flock(first, LOCK_UN)
    flock(second, LOCK_EX | LOCK_NB)
    closeSync(first)
    closeSync(second)
  })

  test('open below a root and nowhere else', () => {
    const root = directory()
    mkdirSync(join(root, 'in/etc'), { recursive: true })
    writeFileSync(join(root, 'in/etc/name'), 'inside')
    symlinkSync('/etc/name', join(root, 'in/link'))
    symlinkSync('../../../../../../etc/passwd', join(root, 'in/out'))
    const fd = openSync(join(root, 'in'), constants.O_RDONLY | constants.O_DIRECTORY)
    const found = openInRoot(fd, 'link', constants.O_RDONLY)
    expect(readFileSync(found, 'utf8')).toBe('inside')
    expect(() => openInRoot(fd, 'out', constants.O_RDONLY)).toThrow(expect.objectContaining({ code: 'ENOENT' }))
    for (const one of [found, fd]) closeSync(one)
  })

  testNeeding(['cachestat'], 'write a file system to disk, without keeping the event loop', async () => {
    const path = join(directory(), 'file')
    writeFileSync(path, 'x'.repeat(100_000))
    expect(dirtyPages(path)).toBeGreaterThan(0)
    const fd = openSync(path, 'r')
    await syncfsAsync(fd)
    closeSync(fd)
    expect(dirtyPages(path)).toBe(0)
    await expect(syncfsAsync(fd)).rejects.toMatchObject({ code: 'EBADF', syscall: 'syncfs' })
  })

  testNeeding(['root'], 'mount and unmount, in the old way and the new', async () => {
    const root = directory()
    for (const name of ['low', 'lower', 'upper', 'work', 'merged']) mkdirSync(join(root, name))
    writeFileSync(join(root, 'low/a'), 'a')
    writeFileSync(join(root, 'lower/b'), 'b')
    const target = join(root, 'merged')
    mountWithParameters({
      type: 'overlay',
      target,
      parameters: [
        ['lowerdir+', join(root, 'low')],
        ['lowerdir+', join(root, 'lower')],
        ['upperdir', join(root, 'upper')],
        ['workdir', join(root, 'work')],
      ],
    })
    expect([readFileSync(join(target, 'a'), 'utf8'), readFileSync(join(target, 'b'), 'utf8')]).toEqual(['a', 'b'])
    umount2(target)
    mount({ source: 'tmpfs', target, type: 'tmpfs', data: 'size=64k' })
    writeFileSync(join(target, 'x'), '')
    umount2(target)
    expect(() => umount2(target)).toThrow(expect.objectContaining({ code: 'EINVAL' }))
  })

  test('say what a refused mount was about', () => {
    expect(() => mount({ source: 'x', target: '/nowhere', type: 'tmpfs' })).toThrow(expect.objectContaining({ syscall: 'mount' }))
  })
})

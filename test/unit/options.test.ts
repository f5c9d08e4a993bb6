import { describe, expect, test } from '@jest/globals'
import { resolveOptions } from '../../src/options.ts'

const AS_ROOT = process.geteuid?.() === 0

describe('options of a runtime', () => {
  test('have a default each', () => {
    const options = resolveOptions({ env: { HOME: '/home/a', XDG_DATA_HOME: '/data', XDG_RUNTIME_DIR: '/run/user/7' } })
    expect(options).toMatchObject({
      network: 'none',
      logDriver: 'k8s-file',
      cgroupParent: '/podlib',
      hooksDirectories: [],
      home: '/home/a',
    })
    expect(options.root).toBe(AS_ROOT ? '/var/lib/podlib' : '/data/podlib')
    expect(options.runRoot).toBe(AS_ROOT ? '/run/podlib' : '/run/user/7/podlib')
  })

  test('make paths absolute', () => {
    expect(resolveOptions({ root: 'store', env: {} }).root).toBe(`${process.cwd()}/store`)
  })

  test('that do not exist are refused by name', () => {
    expect(() => resolveOptions({ rot: '/x' } as never)).toThrow(
      expect.objectContaining({
        code: 'ERR_INVALID_ARGUMENT',
        message: expect.stringMatching(/^unknown option 'rot' of Runtime\.open: it has root, /),
      }),
    )
  })

  test('take an OCI runtime by name or absolute path only', () => {
    expect(resolveOptions({ ociRuntime: '/opt/kata', env: {} }).ociRuntime).toBe('/opt/kata')
    expect(() => resolveOptions({ ociRuntime: './crun', env: {} })).toThrow(expect.objectContaining({ code: 'ERR_INVALID_ARGUMENT' }))
  })

  test.each<[object, RegExp]>([
    [{ network: 'bridge' }, /invalid network "bridge": choose "none" or "host"/],
    [{ logDriver: 'journald' }, /invalid logDriver/],
    [{ cgroupParent: 'podlib' }, /invalid cgroupParent "podlib": give an absolute path/],
    [{ cgroupParent: '/a/../b' }, /invalid cgroupParent/],
    [{ hooksDirectories: ['/hooks', 'hooks'] }, /invalid hooksDirectories .* absolute paths/],
    [{ additionalImageStores: ['store'] }, /invalid additionalImageStores/],
    [{ searchRegistries: 'docker.io' }, /invalid searchRegistries "docker.io": give a list/],
    [{ conmon: './conmon' }, /invalid conmon/],
    [{ root: 5 }, /invalid root 5/],
    [{ policy: 5 }, /invalid policy/],
    [{ onRegistryWarning: 'log' }, /invalid onRegistryWarning/],
    [{ env: null }, /invalid env/],
  ])('refuse %j, which they cannot be', (options, message) => {
    expect(() => resolveOptions(options as never)).toThrow(
      expect.objectContaining({ code: 'ERR_INVALID_ARGUMENT', message: expect.stringMatching(message) }),
    )
  })

  test('that are not objects are refused', () => {
    expect(() => resolveOptions(null as never)).toThrow(expect.objectContaining({ code: 'ERR_INVALID_ARGUMENT' }))
  })

  test('read nothing of the process when an environment is given', () => {
    expect(resolveOptions({ env: { PATH: '/bin', NOTHING: undefined } }).env).toEqual({ PATH: '/bin' })
  })
})

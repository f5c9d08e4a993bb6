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
      expect.objectContaining({ code: 'ERR_INVALID_ARGUMENT', message: "unknown option 'rot'" }),
    )
  })

  test('take an OCI runtime by name or absolute path only', () => {
    expect(resolveOptions({ ociRuntime: '/opt/kata', env: {} }).ociRuntime).toBe('/opt/kata')
    expect(() => resolveOptions({ ociRuntime: './crun', env: {} })).toThrow(expect.objectContaining({ code: 'ERR_INVALID_ARGUMENT' }))
  })

  test('read nothing of the process when an environment is given', () => {
    expect(resolveOptions({ env: { PATH: '/bin', NOTHING: undefined } }).env).toEqual({ PATH: '/bin' })
  })
})

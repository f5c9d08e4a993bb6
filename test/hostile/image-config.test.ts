import { describe, expect, test } from '@jest/globals'
import fc from 'fast-check'
import { resolveContainerConfig } from '../../src/bundle/resolve-config.ts'
import { resolveUser, USER_FILE_MAX_BYTES } from '../../src/bundle/users.ts'
import { isPodlibError } from '../../src/errors/errors.ts'
import { parseHook } from '../../src/hooks/hook.ts'
import { matchHooks } from '../../src/hooks/match.ts'
import type { ImageRunConfig } from '../../src/spec/image.ts'
import { validateImageConfig } from '../../src/spec/validate.ts'
import { FACTS, generate, ID, image, resolve } from '../helpers/bundle.ts'

const raw = (config: unknown, rest: object = {}) => ({
  os: 'linux',
  architecture: 'amd64',
  rootfs: { type: 'layers', diff_ids: [] },
  config,
  ...rest,
})
const refusal = (code: string, message = '') => expect.objectContaining({ code, message: expect.stringContaining(message) })
const REFUSED = (message: string) => refusal('ERR_IMAGE_CONFIG_INVALID', message)

function pull(config: ImageRunConfig) {
  return resolveContainerConfig({ id: ID, options: { command: ['sh'] }, image: validateImageConfig(raw(config)) })
}

describe('the working directory of an image', () => {
  // A directory that the OCI runtime left open.
  test.each(['/proc/self/fd/7', '/proc/1/fd/20', '/proc/self/cwd', '/dev/fd/8', '//proc//self/fd/9', '/proc'])(
    'cannot be %p (CVE-2024-21626)',
    (WorkingDir) => {
      expect(() => pull({ WorkingDir })).toThrow(REFUSED('working directory'))
    },
  )

  test.each(['../x', 'relative', '/a/../../etc', '/a\nb', '/a\0b', `/${'a'.repeat(4096)}`])('cannot be %p', (WorkingDir) => {
    expect(() => pull({ WorkingDir })).toThrow(REFUSED(''))
  })

  test('is otherwise taken as it is, and never joined to a host path', () => {
    expect(pull({ WorkingDir: '/w//x/' }).config.process.cwd).toBe('/w/x')
    expect(pull({ WorkingDir: '' }).config.process.cwd).toBe('/')
  })
})

describe('the environment of an image', () => {
  // Entries without a value, filled in from the host.
  test('never brings anything of the host’s (CVE-2026-57231)', () => {
    process.env.PODLIB_TEST_SECRET = 'host-secret'
    try {
      const { config, warnings } = pull({ Env: ['PODLIB_TEST_SECRET', '*', '=x', 'A\0B=1', 'A=\0', 'PODLIB_*=1', 'GOOD=1', ''] })
      expect(JSON.stringify(config)).not.toContain('host-secret')
      expect(config.process.env.filter((entry) => !/^(PATH|container|HOSTNAME)=/.test(entry))).toEqual(['GOOD=1'])
      expect(warnings).toHaveLength(7)
      expect(warnings.join()).not.toContain('host-secret')
    } finally {
      delete process.env.PODLIB_TEST_SECRET
    }
  })

  test('of one container is not seen by the next (CVE-2021-3602, CVE-2020-14370, CVE-2021-21334)', () => {
    const shared = validateImageConfig(raw({ Env: ['A=1'] }))
    const first = resolveContainerConfig({ id: ID, options: { command: ['sh'], env: { SECRET: 'x' } }, image: shared })
    const second = resolveContainerConfig({ id: ID, options: { command: ['sh'] }, image: shared })
    expect(first.config.process.env).toContain('SECRET=x')
    expect(second.config.process.env.join()).not.toContain('SECRET')
    expect(shared.config?.Env).toEqual(['A=1'])
  })
})

describe('the user of an image', () => {
  const passwd = Buffer.from(
    'root:x:0:0:root:/root:/bin/sh\n4294967296:x:0:0::/:/bin/sh\n1000:x:0:0::/root:/bin/sh\n-1:x:0:0::/:/bin/sh\n0x0:x:0:0::/:/bin/sh\n',
  )
  const group = Buffer.from('root:x:0:\n2000:x:0:\n')
  const look = (user: string) => resolveUser({ user, passwd, group })

  test.each([
    '4294967296',
    '4294967295',
    '2147483648',
    '-1',
    '0x0',
    '00',
    ' 0',
    '0 ',
    '+0',
    '1e3',
    '0\n',
    '1000:-1',
    '1000:00',
    '99999999999999999999',
  ])('%p does not lead to root (CVE-2026-46680, CVE-2024-40635, CVE-2016-3697)', (user) => {
    expect(() => look(user)).toThrow(refusal('ERR_USER_NOT_FOUND'))
  })

  test('is an id when it is digits, whatever a user of that name would be', () => {
    expect(look('1000')).toMatchObject({ uid: 1000, gid: 0 })
    expect(look('5:2000')).toMatchObject({ uid: 5, gid: 2000 })
  })

  test('cannot bring a home directory with line ends into the environment (CVE-2022-4318)', () => {
    const odd = Buffer.from('u:x:5:5::/h\rx::/:\nv:x:6:6::relative:\n')
    expect(resolveUser({ user: 'u', passwd: odd, group: null }).home).toBe('/')
    expect(resolveUser({ user: 'v', passwd: odd, group: null }).home).toBe('/')
    expect(() => pull({ User: 'x:/:/bin/sh\nr' })).toThrow(REFUSED('control character'))
  })

  test('is not looked up in files beyond all measure (CVE-2024-9676, CVE-2026-47262)', () => {
    expect(() => resolveUser({ user: 'a', passwd: Buffer.alloc(USER_FILE_MAX_BYTES + 1), group: null })).toThrow('larger than')
    expect(() => resolveUser({ user: 'a', passwd: Buffer.from('x\n'.repeat(20_000)), group: null })).toThrow('more than 10000 lines')
    const line = Buffer.from(`g:x:5:${'m,'.repeat(500_000)}root\n`)
    const started = performance.now()
    expect(resolveUser({ user: 'root', passwd, group: line }).additionalGids).toEqual([0, 5])
    expect(performance.now() - started).toBeLessThan(2000)
  })

  test('is found or refused, but never breaks the lookup', () => {
    fc.assert(
      fc.property(fc.string(), fc.uint8Array({ maxLength: 300 }), fc.uint8Array({ maxLength: 300 }), (user, passwdBytes, groupBytes) => {
        try {
          const found = resolveUser({ user, passwd: passwdBytes, group: groupBytes })
          expect(found.additionalGids).toContain(found.gid)
          expect(found.uid).toBeLessThanOrEqual(2 ** 31 - 1)
        } catch (error) {
          if (!isPodlibError(error, 'ERR_USER_NOT_FOUND')) throw error
        }
      }),
    )
  })
})

describe('capabilities and groups (CVE-2022-27649, CVE-2022-24769, CVE-2022-29162, CVE-2018-10856, CVE-2022-2989, CVE-2022-36109, CVE-2023-25173)', () => {
  test('of a user that is not root are none, nothing is inheritable, and the primary group is among the groups', () => {
    const { process } = generate({}, { identity: { uid: 1000, gid: 50, additionalGids: [], home: '/' } }).spec
    expect(process?.capabilities).toMatchObject({ effective: [], permitted: [], inheritable: [], ambient: [] })
    expect(process?.user.additionalGids).toEqual([50])
  })
})

describe('the volumes of an image (CVE-2022-23648, CVE-2019-16884, CVE-2023-28642)', () => {
  test.each(['/../../../etc', 'data', '/', '/proc', '/proc/self', '/sys/fs', '/dev', '/a\nb', '/a/..'])('cannot be at %p', (volume) => {
    expect(() => pull({ Volumes: { [volume]: {} } })).toThrow(REFUSED(''))
  })

  test('may not be mounted over /proc by the caller either, but for single files', () => {
    expect(() => resolve({ mounts: [{ type: 'bind', source: '/a', target: '/proc/sys' }] })).toThrow('lies in /proc')
    expect(() => resolve({ mounts: [{ type: 'tmpfs', target: '/proc' }] })).toThrow('lies in /proc')
    expect(resolve({ mounts: [{ type: 'bind', source: '/a', target: '/proc/meminfo' }] }).config.mounts).toHaveLength(1)
  })

  test('become what the caller chose, unless a mount is there', () => {
    const volumes = { Volumes: { '/data': {}, '/more/': {} } }
    expect(resolve({ mounts: [{ type: 'tmpfs', target: '/data' }] }, volumes).config.mounts).toMatchObject([
      { type: 'tmpfs', target: '/data' },
      { type: 'volume', target: '/more', name: null, fromImage: true },
    ])
    expect(resolve({ imageVolumes: 'tmpfs' }, volumes).config.mounts.map(({ type }) => type)).toEqual(['tmpfs', 'tmpfs'])
    expect(resolve({ imageVolumes: 'ignore' }, volumes).config.mounts).toEqual([])
  })
})

describe('the labels of an image (CVE-2026-53488, CVE-2025-24965)', () => {
  const Labels = {
    'run.oci.handler': 'krun',
    'io.kubernetes.cri-o.x': '1',
    'io.podman.annotations.seccomp': 'unconfined',
    'io.containers.capabilities': 'ALL',
    logDriver: 'binary:///x',
    hook: 'me',
  }

  test('become labels and nothing else', () => {
    const plain = pull({}).config
    expect({ ...pull({ Labels }).config, labels: {} }).toEqual({ ...plain, labels: {} })
    expect(pull({ Labels }).config.annotations).toEqual({})
  })

  test('match no hook', () => {
    const hook = parseHook(
      JSON.stringify({ version: '1.0.0', hook: { path: '/h' }, when: { annotations: { '.*': '.*' } }, stages: ['poststart'] }),
      {
        name: 'a.json',
        file: '/a.json',
        extensionStages: [],
      },
    )
    const { config } = pull({ Labels })
    expect(matchHooks([hook], { annotations: config.annotations, args: config.process.args, hasBindMounts: false }).spec).toEqual({})
  })

  test('give way to the caller’s', () => {
    expect(resolve({ labels: { a: 'mine' } }, { Labels: { a: 'image', b: '2' } }).config.labels).toEqual({ a: 'mine', b: '2' })
  })

  test('named like a prototype stay plain data (CVE-2020-15366)', () => {
    const config = validateImageConfig(
      JSON.parse(
        '{"os":"linux","architecture":"amd64","rootfs":{"type":"layers","diff_ids":[]},"__proto__":{"polluted":1},"config":{"Labels":{"__proto__":"x","constructor":"y"}}}',
      ),
    )
    const { labels } = resolveContainerConfig({ id: ID, options: { command: ['sh'] }, image: config }).config
    expect(Object.getOwnPropertyNames(labels).sort()).toEqual(['__proto__', 'constructor'])
    expect(({} as { polluted?: number }).polluted).toBeUndefined()
    expect(Object.getPrototypeOf(labels)).toBe(Object.prototype)
  })
})

describe('sysctls and names', () => {
  test.each([
    ['net.ipv4.ip_forward', '1+kernel.core_pattern=|/x'],
    ['net.ipv4.ip_forward', '1\nkernel.core_pattern=|/x'],
    ['net.ipv4.ip_forward\nx', '1'],
    ['kernel.core_pattern', '|/x'],
    ['net/../kernel/core_pattern', '|/x'],
    ['net.core..', '1'],
  ])('the sysctl %p=%p is refused (CVE-2022-0811)', (key, value) => {
    expect(() => resolve({ sysctls: { [key]: value } })).toThrow(refusal('ERR_INVALID_ARGUMENT'))
  })

  test.each(['../x', 'a/b', '.hidden', '-x', '', 'a\n', 'a b', 'a'.repeat(129)])('the name %p is refused (CVE-2021-20206)', (name) => {
    expect(() => resolve({ name })).toThrow(refusal('ERR_INVALID_ARGUMENT'))
    expect(() => resolve({ mounts: [{ type: 'volume', name, target: '/v' }] })).toThrow(refusal('ERR_INVALID_ARGUMENT'))
  })
})

describe('the shape of an image config', () => {
  test.each([
    [raw({ Env: 'A=1' }), '/config/Env must be array or null'],
    [raw({ Env: [1] }), '/config/Env/0 must be string'],
    [raw({ Cmd: { 0: 'sh' } }), '/config/Cmd must be array or null'],
    [raw({ User: 0 }), '/config/User must be string or null'],
    [raw({ Labels: { a: 1 } }), '/config/Labels/a must be string'],
    [raw({ Volumes: ['/x'] }), '/config/Volumes must be object or null'],
    [raw({ Healthcheck: { Interval: '5s' } }), '/config/Healthcheck/Interval must be integer or null'],
    [raw({ Healthcheck: { Interval: -5 } }), '/config/Healthcheck/Interval must be >= 0'],
    [raw({ StopSignal: 'x'.repeat(100) }), '/config/StopSignal is longer than 32'],
    [raw({ Env: Array.from({ length: 10_001 }, () => 'A=1') }), '/config/Env is longer than 10000'],
    [raw([]), '/config must be object or null'],
    [raw({}, { rootfs: { type: 'layers', diff_ids: ['sha256:abc'] } }), '/rootfs/diff_ids/0 does not have the form'],
    [raw({}, { rootfs: { type: 'other', diff_ids: [] } }), '/rootfs/type must be "layers"'],
    [raw({}, { os: undefined }), "lacks the field 'os'"],
    [raw({}, { architecture: 5 }), '/architecture must be string'],
    [[], 'must be object'],
    [null, 'must be object'],
    ['{}', 'must be object'],
  ])('is checked and never converted: case %#', (value, message) => {
    expect(() => validateImageConfig(value)).toThrow(REFUSED(message))
  })

  test('may have the nulls that Go programs write, and fields that nobody knows', () => {
    const nulls = Object.fromEntries(
      'User ExposedPorts Env Entrypoint Cmd Volumes WorkingDir Labels StopSignal Healthcheck OnBuild'.split(' ').map((key) => [key, null]),
    )
    const config = validateImageConfig(
      raw({ ...nulls, ArgsEscaped: true }, { history: null, container_config: { Cmd: 5 }, docker_version: '1' }),
    )
    expect(config).toEqual({ os: 'linux', architecture: 'amd64', rootfs: { type: 'layers', diff_ids: [] }, config: {} })
    expect(validateImageConfig(raw(null))).not.toHaveProperty('config')
  })

  test('is accepted or refused with one code, whatever is in it', () => {
    const anything = fc.object({
      key: fc.constantFrom('User', 'Env', 'Cmd', 'Entrypoint', 'Volumes', 'WorkingDir', 'Labels', 'StopSignal', 'Healthcheck', 'Test'),
      maxDepth: 3,
    })
    fc.assert(
      fc.property(anything, (config) => {
        try {
          const { config: resolved } = resolveContainerConfig({
            id: ID,
            options: { command: ['sh'] },
            image: validateImageConfig(raw(config)),
          })
          expect(resolved.process.cwd.startsWith('/')).toBe(true)
        } catch (error) {
          if (!isPodlibError(error, 'ERR_IMAGE_CONFIG_INVALID')) throw error
        }
      }),
      { numRuns: 300 },
    )
  })

  test('with a stop signal or a health check that does not exist is refused', () => {
    expect(() => pull({ StopSignal: 'SIGPWN' })).toThrow(REFUSED('unknown stop signal'))
    expect(() => pull({ Healthcheck: { Test: ['EXEC', 'x'] } })).toThrow(REFUSED('unknown kind of health check'))
  })
})

test('an image without a config runs nothing by itself', () => {
  expect(() => resolveContainerConfig({ id: ID, options: {}, image: image() })).toThrow('no command to run')
  expect(FACTS.boundingCapabilities.length).toBeGreaterThan(40)
})

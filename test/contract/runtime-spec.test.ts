import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from '@jest/globals'
import { Ajv, type ValidateFunction } from 'ajv'
import fc from 'fast-check'
import type { CreateContainerOptions } from '../../src/bundle/container-options.ts'
import type { GenerateInput } from '../../src/bundle/generate.ts'
import { generateExecProcess } from '../../src/bundle/process.ts'
import { applyHooks } from '../../src/hooks/match.ts'
import { serializeSpec } from '../../src/spec/serialize-spec.ts'
import { validateRuntimeSpec } from '../../src/spec/validate-container.ts'
import { RUNTIME_SPEC_SCHEMAS as SCHEMAS } from '../helpers/abilities.ts'
import { FACTS, generate, NO_FILES, ROOT, resolve } from '../helpers/bundle.ts'
import { describeNeeding } from '../helpers/test-needing.ts'

const CASES: readonly [string, CreateContainerOptions, Partial<GenerateInput>?][] = [
  ['nothing but a command', {}],
  ['a terminal and a user', { tty: true, stdin: true }, { identity: { uid: 1000, gid: 50, additionalGids: [50, 29], home: '/home/a' } }],
  [
    'every limit',
    {
      memory: '1g',
      memoryReservation: '512m',
      memorySwap: 'unlimited',
      cpus: 1.5,
      cpuShares: 512,
      cpusetCpus: '0-1',
      cpusetMems: '0',
      pidsLimit: 10,
      blkioWeight: 300,
      unified: { 'memory.high': '900M' },
    },
  ],
  ['no limit', { pidsLimit: 'unlimited' }],
  ['unlimited rlimits', { ulimits: { core: 'unlimited', nofile: { soft: 10, hard: 20 } } }],
  [
    'privileged with devices',
    { privileged: true, devices: ['/dev/fuse'] },
    { deviceNodes: [{ path: '/dev/fuse', type: 'c', major: 10, minor: 229, fileMode: 0o666, uid: 0, gid: 0 }] },
  ],
  [
    'a directory of devices',
    { devices: [{ path: '/dev/snd', containerPath: '/dev/audio', permissions: 'rw' }] },
    { deviceNodes: [{ path: '/dev/snd/timer', type: 'c', major: 116, minor: 33 }] },
  ],
  [
    'devices by bind mount',
    { devices: ['/dev/fuse'] },
    { facts: { ...FACTS, canCreateDeviceNodes: false }, deviceNodes: [{ path: '/dev/fuse', type: 'c', major: 10, minor: 229 }] },
  ],
  ['host namespaces', { network: 'host', pid: 'host', ipc: 'host', uts: 'host', cgroup: 'host' }],
  ['namespaces by path', { network: { path: '/run/netns/a' }, pid: { path: '/proc/7/ns/pid' } }],
  [
    'the namespaces of a pod',
    { network: { container: 'infra' } },
    { namespacePaths: { network: '/proc/9/ns/net', uts: '/proc/9/ns/uts' } },
  ],
  [
    'a user namespace',
    { userNamespace: { uids: [{ containerId: 0, hostId: 1000, size: 10 }], gids: [{ containerId: 0, hostId: 1000, size: 3 }] } },
  ],
  [
    'read-only with mounts',
    {
      readOnly: true,
      mounts: [
        { type: 'bind', source: '/srv', target: '/srv', propagation: 'rslave' },
        { type: 'tmpfs', target: '/t', size: 4096 },
        { type: 'volume', name: 'v', target: '/v' },
      ],
    },
    { files: { ...NO_FILES, hosts: '/h', resolvConf: '/r', hostname: '/n', containerenv: '/e', shm: '/s', volumes: { '/v': '/vol' } } },
  ],
  [
    'init and hooks',
    { init: true, annotations: { a: 'b' } },
    {
      files: { ...NO_FILES, init: '/usr/bin/catatonit' },
      hooks: { createRuntime: [{ path: '/bin/h', args: ['h'], env: [], timeout: 3 }] },
    },
  ],
  [
    'capabilities and sysctls',
    {
      capAdd: ['ALL'],
      capDrop: ['sys_admin'],
      sysctls: { 'net.core.somaxconn': '512' },
      noNewPrivileges: true,
      oomScoreAdj: -500,
      umask: '077',
    },
  ],
  ['no seccomp, nothing masked', { seccomp: 'unconfined', unmaskedPaths: 'all' }],
  [
    'a poor host',
    { memory: '1g', cpus: 1 },
    {
      facts: {
        ...FACTS,
        cgroupControllers: [],
        swapLimit: false,
        ownsHostNamespaces: false,
        ttyGidMapped: false,
        canCreateDeviceNodes: false,
      },
      cgroupsPath: '',
    },
  ],
]

describeNeeding(['schemas of the runtime specification'], 'the official runtime-spec schemas', () => {
  const officially = existsSync(SCHEMAS) ? compileOfficial() : undefined

  test.each(CASES.map(([what, options, rest = {}]) => ({ what, options, rest })))(
    'accept what is generated for $what',
    ({ options, rest }) => {
      const spec = JSON.parse(serializeSpec(generate(options, rest).spec))
      expect(officially?.(spec) === true ? null : officially?.errors).toBeNull()
      expect(() => validateRuntimeSpec(spec)).not.toThrow()
    },
  )

  test('accept a configuration with hooks applied, and the process of an exec', () => {
    const { spec } = generate()
    const hooked = applyHooks(spec, { poststop: [{ path: '/usr/bin/hook', env: [] }] })
    const process = generateExecProcess({
      config: resolve().config,
      options: { args: ['ls'], tty: true, consoleSize: { height: 24, width: 80 } },
      identity: ROOT,
      facts: FACTS,
    })
    expect(officially?.({ ...hooked, process })).toBe(true)
  })

  test('accept every combination of switches', () => {
    const flags = fc.record({
      privileged: fc.boolean(),
      tty: fc.boolean(),
      readOnly: fc.boolean(),
      readWriteTmpfs: fc.boolean(),
      noNewPrivileges: fc.boolean(),
      network: fc.constantFrom('none' as const, 'host' as const),
      pid: fc.constantFrom('private' as const, 'host' as const),
      ipc: fc.constantFrom('private' as const, 'host' as const, 'none' as const),
      cgroup: fc.constantFrom('private' as const, 'host' as const),
      capDrop: fc.subarray(['ALL', 'chown', 'CAP_KILL']),
      pidsLimit: fc.integer({ min: -1, max: 5000 }),
      memory: fc.integer({ min: 1, max: 2 ** 40 }),
    })
    const hosts = fc.record({
      ownsHostNamespaces: fc.boolean(),
      canCreateDeviceNodes: fc.boolean(),
      ttyGidMapped: fc.boolean(),
      swapLimit: fc.boolean(),
    })
    fc.assert(
      fc.property(flags, hosts, (options, facts) => {
        const spec = JSON.parse(serializeSpec(generate(options, { facts: { ...FACTS, ...facts } }).spec))
        expect(officially?.(spec) === true ? null : officially?.errors).toBeNull()
        validateRuntimeSpec(spec)
      }),
      { numRuns: 60 },
    )
  })

  test('refuse what podlib refuses too', () => {
    const broken = JSON.parse(serializeSpec(generate().spec))
    broken.linux.namespaces[0].type = 'nonsense'
    expect(officially?.(broken)).toBe(false)
    expect(() => validateRuntimeSpec(broken)).toThrow('/linux/namespaces/0/type must be one of')
  })
})

/** Draft 04 schemas in the eyes of ajv 8: the same but for the name of `id`. */
function compileOfficial(): ValidateFunction {
  const ajv = new Ajv({ strict: false, allErrors: true })
  for (const file of readdirSync(SCHEMAS).filter((name) => name.endsWith('.json'))) {
    const { $schema: _schema, id: _id, ...schema } = JSON.parse(readFileSync(join(SCHEMAS, file), 'utf8'))
    ajv.addSchema({ ...schema, $id: file }, file)
  }
  return ajv.getSchema('config-schema.json') as ValidateFunction
}

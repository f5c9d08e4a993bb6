import { expect, test } from '@jest/globals'
import type { CreateContainerOptions } from '../../../src/bundle/container-options.ts'
import { resolveContainerConfig } from '../../../src/bundle/resolve-config.ts'
import { refuseUnsupported } from '../../../src/container/refuse-unsupported.ts'
import type { ImageRunConfig } from '../../../src/spec/image.ts'

function create(options: CreateContainerOptions, image: ImageRunConfig = {}): void {
  const whole = { architecture: 'amd64', os: 'linux', config: { Cmd: ['sh'], ...image }, rootfs: { type: 'layers', diff_ids: [] } } as const
  const { config } = resolveContainerConfig({ id: 'a'.repeat(64), options, image: whole })
  refuseUnsupported(config, typeof options.healthcheck === 'object')
}

test.each<[string, CreateContainerOptions]>([
  ['restart', { restart: 'always' }],
  ['restart', { restart: 'on-failure:3' }],
  ['healthcheck', { healthcheck: { command: 'true' } }],
  ['mounts', { mounts: [{ type: 'volume', name: 'data', target: '/data' }] }],
  ['logDriver', { logDriver: 'journald' }],
  ['logDriver', { logDriver: 'json-file' }],
  ['network', { network: { container: 'other' } }],
  ['pid', { pid: { container: 'other' } }],
  ['userNamespace', { userNamespace: { container: 'other' } }],
])('option %s is refused where nobody would act on it: %j', (option, options) => {
  expect(() => create(options)).toThrow(
    expect.objectContaining({ code: 'ERR_OPTION_UNSUPPORTED', kind: 'unsupported', details: { option } }),
  )
})

test('volumes of an image are refused where they should be kept, and only there', () => {
  const image = { Volumes: { '/data': {} } }
  expect(() => create({ imageVolumes: 'anonymous' }, image)).toThrow(expect.objectContaining({ details: { option: 'imageVolumes' } }))
  create({ imageVolumes: 'anonymous' })
  create({ imageVolumes: 'tmpfs' }, image)
  create({ imageVolumes: 'ignore' }, image)
})

test('what asks for nothing is accepted', () => {
  create({ restart: 'no', healthcheck: false, logDriver: 'none', pid: 'host', network: { path: '/run/netns/a' }, tty: true, stdin: true })
  create({}, { Healthcheck: { Test: ['CMD', 'true'] } })
})

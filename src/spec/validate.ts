import { validate } from './generated/image-config.js'
import type { ImageConfig } from './image.ts'
import { assertValid } from './validator.ts'

/**
 * Checks the config of an image, which is hostile input: types are never converted and every length has a bound. The
 * `null`s that Go programs write for what is not set are dropped, and so is every field that podlib does not know.
 *
 * @throws ERR_IMAGE_CONFIG_INVALID
 */
export function validateImageConfig(value: unknown): ImageConfig {
  assertValid(validate, value, { code: 'ERR_IMAGE_CONFIG_INVALID', what: 'image config' })
  const { config, rootfs, history, ...rest } = value as Record<string, Record<string, unknown> | undefined>
  const clean = {
    ...pick(rest, ['os', 'architecture', 'variant', 'created', 'author']),
    rootfs: { type: 'layers', diff_ids: rootfs?.diff_ids ?? [] },
    ...(config && { config: runConfig(config) }),
    ...(Array.isArray(history) && { history: history.map((entry) => pick(entry, HISTORY_FIELDS)) }),
  }
  return clean as unknown as ImageConfig
}

const RUN_FIELDS = 'User ExposedPorts Env Entrypoint Cmd Volumes WorkingDir Labels StopSignal'.split(' ')
const HEALTH_FIELDS = 'Test Interval Timeout StartPeriod Retries'.split(' ')
const HISTORY_FIELDS = 'created created_by author comment empty_layer'.split(' ')

function runConfig(config: Record<string, unknown>): Record<string, unknown> {
  const { Healthcheck: health } = config
  return { ...pick(config, RUN_FIELDS), ...(health ? { Healthcheck: pick(health as Record<string, unknown>, HEALTH_FIELDS) } : {}) }
}

function pick(object: Readonly<Record<string, unknown>>, fields: readonly string[]): Record<string, unknown> {
  const present = fields.filter((field) => Object.hasOwn(object, field) && object[field] !== null && object[field] !== undefined)
  return Object.fromEntries(present.map((field) => [field, object[field]]))
}

import type { ImageHealthcheck, ImageRunConfig } from '../spec/image.ts'
import { parseDuration } from '../util/quantity.ts'
import { parseSignal } from '../util/signal.ts'
import { refused, shown } from './check.ts'
import type { ConfigDefaults } from './config-defaults.ts'
import type { HealthcheckConfig, LifecycleConfig } from './container-config.ts'
import type { CreateContainerOptions, HealthcheckOptions } from './container-options.ts'

const SIGTERM = 15
const HEALTH_DEFAULTS = { intervalMs: 30_000, timeoutMs: 30_000, startPeriodMs: 0, retries: 3 }
const NANOSECONDS_PER_MS = 1e6

export function resolveLifecycle(options: CreateContainerOptions, image: ImageRunConfig, defaults: ConfigDefaults): LifecycleConfig {
  const restart = resolveRestart(options.restart ?? 'no')
  const ephemeral = options.ephemeral ?? false
  if (ephemeral && restart.policy !== 'no')
    throw refused('options', 'an ephemeral container is removed when it ends, so it cannot be restarted')
  return {
    stopSignal: resolveStopSignal(options, image),
    stopTimeoutMs: options.stopTimeout === undefined ? defaults.stopTimeoutMs : parseDuration(options.stopTimeout, 'stopTimeout'),
    ephemeral,
    restart,
    healthcheck: resolveHealthcheck(options.healthcheck, image.Healthcheck),
  }
}

function resolveStopSignal(options: CreateContainerOptions, image: ImageRunConfig): number {
  const given = options.stopSignal ?? (image.StopSignal || SIGTERM)
  const signal = parseSignal(given)
  if (signal !== undefined) return signal
  throw refused(options.stopSignal === undefined ? 'image' : 'options', `unknown stop signal ${shown(given)}`)
}

function resolveRestart(text: string): LifecycleConfig['restart'] {
  const match = /^(no|always|unless-stopped|on-failure)(?::(\d{1,9}))?$/.exec(text)
  const policy = match?.[1] as LifecycleConfig['restart']['policy'] | undefined
  if (policy === undefined || (match?.[2] !== undefined && policy !== 'on-failure')) {
    throw refused('options', `invalid restart policy ${shown(text)}: use 'no', 'always', 'unless-stopped', 'on-failure' or 'on-failure:3'`)
  }
  return { policy, maxRetries: match?.[2] === undefined ? null : Number(match[2]) }
}

function resolveHealthcheck(
  options: HealthcheckOptions | false | undefined,
  image: ImageHealthcheck | undefined,
): HealthcheckConfig | null {
  if (options === false) return null
  if (options === undefined) return imageHealthcheck(image)
  const args = typeof options.command === 'string' ? shell(options.command) : [...options.command]
  if (args.length === 0) throw refused('options', 'the health check has no command')
  return {
    args,
    intervalMs: duration(options.interval, 'healthcheck.interval', HEALTH_DEFAULTS.intervalMs),
    timeoutMs: duration(options.timeout, 'healthcheck.timeout', HEALTH_DEFAULTS.timeoutMs),
    startPeriodMs: duration(options.startPeriod, 'healthcheck.startPeriod', HEALTH_DEFAULTS.startPeriodMs),
    retries: options.retries ?? HEALTH_DEFAULTS.retries,
  }
}

/** Docker's form: `["CMD", ...]`, `["CMD-SHELL", line]`, `["NONE"]` or nothing; times in nanoseconds, 0 for the default. */
function imageHealthcheck(image: ImageHealthcheck | undefined): HealthcheckConfig | null {
  const [kind, ...rest] = image?.Test ?? []
  if (kind === undefined || kind === 'NONE' || rest.length === 0) return null
  if (kind !== 'CMD' && kind !== 'CMD-SHELL') throw refused('image', `unknown kind of health check ${shown(kind)}`)
  return {
    args: kind === 'CMD' ? rest : shell(rest[0] as string),
    intervalMs: nanoseconds(image?.Interval) || HEALTH_DEFAULTS.intervalMs,
    timeoutMs: nanoseconds(image?.Timeout) || HEALTH_DEFAULTS.timeoutMs,
    startPeriodMs: nanoseconds(image?.StartPeriod),
    retries: image?.Retries || HEALTH_DEFAULTS.retries,
  }
}

function shell(line: string): string[] {
  return ['/bin/sh', '-c', line]
}

function duration(value: number | string | undefined, what: string, fallback: number): number {
  return value === undefined ? fallback : parseDuration(value, what)
}

function nanoseconds(value: number | undefined): number {
  return value === undefined ? 0 : Math.ceil(value / NANOSECONDS_PER_MS)
}

import { PodlibError } from '../errors/errors.ts'
import { isImageConfigType } from './media-types.ts'

/**
 * The platform that an image is for, in Go's words (`linux`, `amd64`, `v8`).
 *
 * @see https://github.com/opencontainers/image-spec/blob/v1.1.1/image-index.md
 * @public
 */
export interface Platform {
  readonly os: string
  readonly architecture: string
  readonly variant?: string
}

/** Other names for an architecture: of `uname -m`, of Debian, of Node's `process.arch`. */
const ALIASES: Readonly<Record<string, readonly [architecture: string, variant?: string]>> = {
  aarch64: ['arm64'],
  x86_64: ['amd64'],
  'x86-64': ['amd64'],
  x64: ['amd64'],
  ia32: ['386'],
  i386: ['386'],
  i686: ['386'],
  x86: ['386'],
  armhf: ['arm', 'v7'],
  armel: ['arm', 'v6'],
  ppc64el: ['ppc64le'],
  mipsel: ['mipsle'],
  loongarch64: ['loong64'],
}

/** Variants from the most capable down; a processor of one variant runs all that follow it. */
const VARIANTS: Readonly<Record<string, readonly string[]>> = {
  arm: ['v8', 'v7', 'v6', 'v5'],
  amd64: ['v4', 'v3', 'v2'],
}

/** What an architecture is called when its variant is left out. */
const BASE_VARIANT: Readonly<Record<string, string>> = { amd64: 'v1', arm64: 'v8' }

/** The processor flags that each x86-64 level adds, as the kernel spells them (abm is lzcnt). */
const AMD64_LEVELS: readonly (readonly [variant: string, flags: readonly string[]])[] = [
  ['v2', ['cx16', 'lahf_lm', 'popcnt', 'pni', 'sse4_1', 'sse4_2', 'ssse3']],
  ['v3', ['avx', 'avx2', 'bmi1', 'bmi2', 'f16c', 'fma', 'abm', 'movbe', 'xsave']],
  ['v4', ['avx512f', 'avx512bw', 'avx512cd', 'avx512dq', 'avx512vl']],
]

const ZSTD_ANNOTATION = 'io.github.containers.compression.zstd'

/** Brings the names of a platform to one spelling: `x86_64` is `amd64`, `arm64/v8` is `arm64`. */
export function normalizePlatform(platform: Platform): Platform {
  const os = platform.os.toLowerCase()
  const given = platform.architecture.toLowerCase()
  const [architecture, implied] = ALIASES[given] ?? [given]
  const variant = platform.variant ? spellVariant(platform.variant.toLowerCase()) : implied
  if (!variant || BASE_VARIANT[architecture] === variant) return { os, architecture }
  return { os, architecture, variant }
}

/**
 * Reads `os/architecture[/variant]` or just an architecture.
 *
 * @throws ERR_INVALID_ARGUMENT
 * @public
 */
export function parsePlatform(text: string): Platform {
  const parts = text.split('/')
  const [os, architecture, variant] = parts.length === 1 ? ['linux', text] : parts
  if (!os || !architecture || parts.length > 3 || !parts.every((part) => /^\w[\w.-]*$/.test(part))) {
    throw new PodlibError('ERR_INVALID_ARGUMENT', `'${text.slice(0, 80)}' is not a platform; write it as 'linux/arm64' or 'linux/arm/v7'`)
  }
  return normalizePlatform({ os, architecture, ...(variant && { variant }) })
}

/** `linux/arm/v7`. @public */
export function formatPlatform({ os, architecture, variant }: Platform): string {
  return variant ? `${os}/${architecture}/${variant}` : `${os}/${architecture}`
}

/**
 * The platform of this host.
 *
 * @param arch - `process.arch`
 * @param cpuinfo - the text of `/proc/cpuinfo`; without it no variant is known
 * @public
 */
export function hostPlatform(arch: string, cpuinfo = ''): Platform {
  // Linux on POWER runs little-endian only where Node does.
  const architecture = arch === 'ppc64' ? 'ppc64le' : arch
  const { architecture: name } = normalizePlatform({ os: 'linux', architecture })
  const variant = name === 'arm' ? armVariant(cpuinfo) : name === 'amd64' ? amd64Variant(cpuinfo) : undefined
  return { os: 'linux', architecture: name, ...(variant && { variant }) }
}

/** Whether an image for `offered` runs where `wanted` does: same system and architecture, no newer variant. */
export function platformMatches(offered: Platform, wanted: Platform): boolean {
  return rank(offered, wanted) !== undefined
}

/** What {@link selectPlatform} looks at in an entry of an index. @public */
export interface PlatformEntry {
  readonly platform?: Platform
  readonly artifactType?: string
  readonly annotations?: Readonly<Record<string, string>>
}

/** How {@link selectPlatform} chooses among equals. @public */
export interface SelectPlatformOptions {
  /** Prefer the gzip instance to the zstd one. */
  readonly preferGzip?: boolean
}

/**
 * Chooses the entry of an index for a platform: the most capable variant that runs, then zstd before gzip,
 * then the first. Entries without a platform come last, and never when they name an artifact.
 *
 * @throws ERR_PLATFORM_MISMATCH listing what there is
 * @public
 */
export function selectPlatform<Entry extends PlatformEntry>(
  index: { readonly manifests: readonly Entry[] },
  wanted: Platform,
  options: SelectPlatformOptions = {},
): Entry {
  let best: { entry: Entry; score: number } | undefined
  for (const entry of index.manifests) {
    const score = scoreOf(entry, wanted, options)
    if (score !== undefined && (best === undefined || score < best.score)) best = { entry, score }
  }
  if (best) return best.entry
  const available = [...new Set(index.manifests.flatMap(({ platform }) => (platform ? [formatPlatform(platform)] : [])))]
  const wish = formatPlatform(normalizePlatform(wanted))
  throw new PodlibError(
    'ERR_PLATFORM_MISMATCH',
    `the image has no variant for ${wish}; it has ${available.slice(0, 40).join(', ') || 'none'}`,
    {
      details: { wanted: wish, available },
    },
  )
}

// Lower is better: the rank of the platform decides, then the compression.
function scoreOf(entry: PlatformEntry, wanted: Platform, options: SelectPlatformOptions): number | undefined {
  const isArtifact = entry.artifactType !== undefined && !isImageConfigType(entry.artifactType)
  const placed = entry.platform ? rank(entry.platform, wanted) : isArtifact ? undefined : 1000
  if (placed === undefined) return undefined
  const zstd = entry.annotations?.[ZSTD_ANNOTATION] === 'true'
  return placed * 2 + (zstd === (options.preferGzip === true) ? 1 : 0)
}

function rank(offered: Platform, wanted: Platform): number | undefined {
  const offer = normalizePlatform(offered)
  const wish = normalizePlatform(wanted)
  if (offer.os !== wish.os || offer.architecture !== wish.architecture) return undefined
  const at = runnableVariants(wish).indexOf(offer.variant ?? '')
  return at < 0 ? undefined : at
}

/** What a wish for a platform accepts, best first. */
function runnableVariants({ architecture, variant }: Platform): readonly string[] {
  const order = VARIANTS[architecture] ?? []
  if (variant) return order.includes(variant) ? [...order.slice(order.indexOf(variant)), ''] : [variant, '']
  // Plain `arm` names no baseline, so any may be meant; plain `amd64` is the v1 that runs everywhere.
  return architecture === 'arm' ? ['', ...order] : ['']
}

function spellVariant(variant: string): string {
  return /^\d/.test(variant) ? `v${variant}` : variant
}

function armVariant(cpuinfo: string): string | undefined {
  const architecture = field(cpuinfo, 'CPU architecture')
  if (!architecture) return undefined
  if (/^(?:8|AArch64)/i.test(architecture)) return 'v8'
  // Some ARMv6 kernels report 7 (Raspberry Pi 1): the model name tells.
  if (/^7/.test(architecture)) return /^armv6-compatible/i.test(field(cpuinfo, 'model name') ?? '') ? 'v6' : 'v7'
  return /^[56]/.exec(architecture) ? `v${architecture[0]}` : undefined
}

function amd64Variant(cpuinfo: string): string | undefined {
  const flags = new Set(field(cpuinfo, 'flags')?.split(/\s+/))
  let variant: string | undefined
  for (const [level, needed] of AMD64_LEVELS) {
    if (!needed.every((flag) => flags.has(flag))) break
    variant = level
  }
  return variant
}

function field(cpuinfo: string, name: string): string | undefined {
  return cpuinfo.match(new RegExp(`^${name}\\s*:\\s*(.*)$`, 'im'))?.[1]?.trim()
}

import { constants } from 'node:os'
import { PodlibError } from '../errors/errors.ts'
import type { SpecSeccomp } from '../spec/runtime.ts'
import type { SeccompCondition, SeccompProfile, SeccompRule } from '../spec/seccomp-profile.ts'

/** What a profile's conditions are asked about. */
export interface SeccompTarget {
  /** The container's bounding set. */
  readonly capabilities: readonly string[]
  /** As Go names it. */
  readonly architecture: string
  readonly kernelVersion: string
}

type SpecRule = NonNullable<SpecSeccomp['syscalls']>[number]

/** seccomp.h's names for the architectures that Go programs run on. */
const NATIVE: Readonly<Record<string, string>> = {
  amd64: 'SCMP_ARCH_X86_64',
  '386': 'SCMP_ARCH_X86',
  arm64: 'SCMP_ARCH_AARCH64',
  arm: 'SCMP_ARCH_ARM',
  ppc64le: 'SCMP_ARCH_PPC64LE',
  s390x: 'SCMP_ARCH_S390X',
  riscv64: 'SCMP_ARCH_RISCV64',
  mips64le: 'SCMP_ARCH_MIPSEL64',
  loong64: 'SCMP_ARCH_LOONGARCH64',
}

/** `linux.seccomp` for one container: the rules of the profile whose conditions hold for its capabilities, CPU and kernel. */
export function compileSeccomp(profile: SeccompProfile, target: SeccompTarget): SpecSeccomp {
  const rules = (profile.syscalls ?? []).filter((rule) => applies(rule, target)).map(specRule)
  const errno = errnoOf(profile.defaultErrno, profile.defaultErrnoRet)
  const architectures = architecturesOf(profile, target.architecture)
  return {
    defaultAction: profile.defaultAction,
    ...(errno !== undefined && { defaultErrnoRet: errno }),
    ...(architectures.length > 0 && { architectures }),
    ...(profile.flags?.length && { flags: [...profile.flags] }),
    syscalls: mergeRules(rules),
  }
}

function applies({ includes, excludes }: SeccompRule, target: SeccompTarget): boolean {
  const held = (cap: string) => target.capabilities.includes(cap)
  if (excludes) {
    if (excludes.arches?.includes(target.architecture)) return false
    if (excludes.caps?.some(held)) return false
    if (excludes.minKernel && kernelAtLeast(target, excludes)) return false
  }
  if (!includes) return true
  if (includes.arches?.length && !includes.arches.includes(target.architecture)) return false
  if (includes.caps && !includes.caps.every(held)) return false
  return !includes.minKernel || kernelAtLeast(target, includes)
}

function kernelAtLeast({ kernelVersion }: SeccompTarget, { minKernel }: SeccompCondition): boolean {
  const [major, minor] = versionOf(kernelVersion)
  const [wantedMajor, wantedMinor] = versionOf(minKernel as string)
  return major > wantedMajor || (major === wantedMajor && minor >= wantedMinor)
}

function versionOf(text: string): [number, number] {
  const match = /^(\d+)\.(\d+)/.exec(text)
  if (!match) throw new PodlibError('ERR_SPEC_INVALID', `seccomp profile: ${JSON.stringify(text)} is not a kernel version`)
  return [Number(match[1]), Number(match[2])]
}

function specRule(rule: SeccompRule): SpecRule {
  const errno = errnoOf(rule.errno, rule.errnoRet)
  return {
    names: [...(rule.names ?? []), ...(rule.name ? [rule.name] : [])],
    action: rule.action,
    ...(errno !== undefined && { errnoRet: errno }),
    ...(rule.args?.length && { args: rule.args.map(({ index, value, valueTwo = 0, op }) => ({ index, value, valueTwo, op })) }),
  }
}

/**
 * One rule for each answer instead of one for each line of the profile. A name that already has an answer keeps it:
 * libseccomp does the same, so a profile that gives two means here what it means elsewhere.
 */
function mergeRules(rules: readonly SpecRule[]): SpecRule[] {
  const answered = new Set<string>()
  const byAnswer = new Map<string, SpecRule>()
  const conditional: SpecRule[] = []
  for (const rule of rules) {
    if (rule.args) {
      conditional.push(rule)
      continue
    }
    const fresh = [...new Set(rule.names)].filter((name) => !answered.has(name))
    for (const name of fresh) answered.add(name)
    const answer = `${rule.action} ${rule.errnoRet}`
    const merged = byAnswer.get(answer)
    if (merged) merged.names.push(...fresh)
    else if (fresh.length > 0) byAnswer.set(answer, { ...rule, names: fresh })
  }
  return [...byAnswer.values(), ...conditional]
}

function architecturesOf({ architectures, archMap }: SeccompProfile, goName: string): string[] {
  if (architectures?.length) return [...architectures]
  const native = NATIVE[goName]
  const entry = archMap?.find(({ architecture }) => architecture === native)
  return entry ? [entry.architecture, ...(entry.subArchitectures ?? [])] : []
}

function errnoOf(name: string | undefined, number: number | null | undefined): number | undefined {
  if (!name) return number ?? undefined
  if (Object.hasOwn(constants.errno, name)) return constants.errno[name as keyof typeof constants.errno]
  if (/^\d+$/.test(name)) return Number(name)
  throw new PodlibError('ERR_SPEC_INVALID', `seccomp profile: unknown error name ${JSON.stringify(name)}`)
}

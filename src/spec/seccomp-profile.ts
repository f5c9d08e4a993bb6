/**
 * A seccomp profile in Docker's format, the one of /usr/share/containers/seccomp.json: rules with conditions, which are
 * resolved for one container before the OCI runtime sees them.
 *
 * @public
 */
export interface SeccompProfile {
  readonly defaultAction: string
  readonly defaultErrnoRet?: number | null
  /** Name of the error, winning over the number: `ENOSYS`. */
  readonly defaultErrno?: string
  readonly architectures?: readonly string[] | null
  readonly archMap?: readonly SeccompArchitectures[] | null
  readonly flags?: readonly string[] | null
  readonly syscalls?: readonly SeccompRule[] | null
}

/** @public */
export interface SeccompArchitectures {
  readonly architecture: string
  readonly subArchitectures?: readonly string[] | null
}

/** @public */
export interface SeccompRule {
  /** The older form of `names`. */
  readonly name?: string
  readonly names?: readonly string[] | null
  readonly action: string
  readonly errnoRet?: number | null
  readonly errno?: string
  readonly args?: readonly SeccompArgument[] | null
  readonly includes?: SeccompCondition | null
  readonly excludes?: SeccompCondition | null
}

/** @public */
export interface SeccompArgument {
  readonly index: number
  readonly value: number
  readonly valueTwo?: number
  readonly op: string
}

/** @public */
export interface SeccompCondition {
  readonly arches?: readonly string[] | null
  readonly caps?: readonly string[] | null
  /** `4.8` */
  readonly minKernel?: string
}

/** How an OCI runtime is called. */
export interface RuntimeCommand {
  /** Absolute path of the runtime. */
  readonly path: string
  /** Arguments before the verb: `--root` and the like. */
  readonly globalArgs: readonly string[]
  readonly env: Readonly<Record<string, string>>
  /** Runs a sealed copy, see `sealedProgram`. For crun and runc. */
  readonly sealed: boolean
}

/** What is run, as a person would type it. */
export function runtimeArgv({ path, globalArgs }: RuntimeCommand, args: readonly string[]): string[] {
  return [path, ...globalArgs, ...args]
}

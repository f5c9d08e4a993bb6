import type { Platform } from '../../spec/platform.ts'
import type { PullProgress } from '../progress.ts'
import type { PullPolicy } from '../pull-policy.ts'

/** Of what an image is built, and how. @public */
export interface BuildOptions {
  /**
   * Directory whose files `COPY` and `ADD` see, or a tar of it, plain or compressed: a stream, which is read to its end. Of a tar
   * only files, directories and links that stay in it are taken; all belong to root, and no program is setuid. Needed unless the
   * Containerfile is given as text; then that sees none without.
   */
  readonly context?: string | AsyncIterable<Uint8Array>
  /**
   * Path of the Containerfile, a relative one taken from `context`; or its text.
   * @defaultValue `Containerfile` or else `Dockerfile` in `context`
   */
  readonly containerfile?: string | { readonly text: string }
  /** Name of the image, or several; one without a registry is of `localhost`. They may move from other images. */
  readonly name?: string | readonly string[]
  /** Stage to stop at. @defaultValue the last one */
  readonly target?: string
  /** Values for `ARG`. They show in the image's history and in the list of processes: no place for secrets. */
  readonly args?: Readonly<Record<string, string>>
  /** Environment that is added to the image. */
  readonly env?: Readonly<Record<string, string>>
  /** Labels that are added to the image. */
  readonly labels?: Readonly<Record<string, string>>
  /** Annotations of the manifest; only with format `oci`. */
  readonly annotations?: Readonly<Record<string, string>>
  /** What the image is for; another than that of this machine needs an emulator to `RUN` anything. @defaultValue the platform of this machine */
  readonly platform?: string | Platform
  /** When registries are asked for the images that the Containerfile names. @defaultValue `'missing'` */
  readonly pull?: PullPolicy
  /** Do every step anew. @defaultValue false */
  readonly noCache?: boolean
  /** Make one layer of all that the build adds, or with `'all'` of the whole image. Nothing is cached then. @defaultValue false */
  readonly squash?: boolean | 'all'
  /** Of manifest and config. `HEALTHCHECK`, `SHELL` and `ONBUILD` last only in `docker`. @defaultValue `'oci'` */
  readonly format?: 'oci' | 'docker'
  /** Time of the image and everything new in it: the same build then gives the same image. @defaultValue the real times */
  readonly createdAt?: Date
  /** For `RUN --mount=type=secret,id=...`: content, or path of a file. They are in memory only, and in no layer. */
  readonly secrets?: Readonly<Record<string, string | Uint8Array | { readonly path: string }>>
  /**
   * Further sources by name, for `COPY --from`, `RUN --mount=from` and, images only, `FROM`: directories, or images as
   * `images.pull` takes them.
   */
  readonly contexts?: Readonly<Record<string, string | { readonly image: string }>>
  /** Path of a file in place of `.containerignore` or `.dockerignore`. */
  readonly ignoreFile?: string
  /**
   * Network of the build: of `RUN`, and of `ADD` with a URL. With `none` nothing in a Containerfile can get at one. Images are
   * pulled in any case. @defaultValue the `network` of the runtime, which is `'none'` unless said otherwise
   */
  readonly network?: 'none' | 'host'
  /**
   * How `RUN` is fenced in: `oci`, by the OCI runtime as a container; `chroot`, much less so, where no container can be
   * started, as inside of most containers. @defaultValue `'oci'`
   */
  readonly isolation?: 'oci' | 'chroot'
  /** Ends the build with everything that it has started. */
  readonly signal?: AbortSignal
}

/**
 * What a build is at: a step, a line of output, or bringing an image into the store, be it one that the build needs or the
 * one that it made.
 *
 * @public
 */
export type BuildProgress = BuildStep | BuildOutput | PullProgress

/** An instruction begins. @public */
export interface BuildStep {
  readonly phase: 'step'
  /** From 1. */
  readonly stage: number
  readonly stages: number
  /** In its stage, from 1. */
  readonly step: number
  readonly steps: number
  /** As the builder understood it: `RUN make`. */
  readonly instruction: string
}

/** A line that a step or the builder itself wrote. Who reads slowly gets the last 10 000 of those not yet read. @public */
export interface BuildOutput {
  readonly phase: 'output'
  readonly stream: 'stdout' | 'stderr'
  readonly line: string
  /** Counted from 0: a gap shows that lines were left out. */
  readonly number: number
}

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

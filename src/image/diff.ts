import type { Context } from '../lifecycle/context.ts'
import { checkOptions, type OptionNames } from '../util/options.ts'
import { findImage } from './resolve-name.ts'
import { imageStack } from './stack.ts'

/** @public */
export interface ImageDiffOptions {
  /** The image to compare with, by name or id. @defaultValue the image's own layers without the uppermost */
  readonly from?: string | { readonly id: string }
  readonly signal?: AbortSignal
}

/** A path by which an image differs from another. @public */
export interface ImageChange {
  /** From `/` on. What is not UTF-8 stands as `\xff`. */
  readonly path: string
  /** A directory is `changed` when names in it came or went, or its owner, mode or attributes did. */
  readonly kind: 'added' | 'changed' | 'deleted'
}

const DIFF_OPTIONS: OptionNames<ImageDiffOptions> = { from: true, signal: true }

/**
 * What an image's uppermost layer changes, or in what it differs from another image; sorted by path. Below a directory that
 * is deleted nothing is listed. Nothing is mounted, and layers that both have are not looked into.
 *
 * @throws ERR_IMAGE_NOT_FOUND, ERR_IMAGE_AMBIGUOUS
 */
export async function diffImage(context: Context, id: string, options: ImageDiffOptions = {}): Promise<readonly ImageChange[]> {
  checkOptions('images.diff', options, DIFF_OPTIONS)
  const { from, signal } = options
  signal?.throwIfAborted()
  const to = imageStack(context, id)
  const other = typeof from === 'string' ? findImage(context, from, context.platform).row : from
  const before = other === undefined ? to.slice(0, -1) : imageStack(context, other.id)
  return (await context.storage()).diff(before, to, signal)
}

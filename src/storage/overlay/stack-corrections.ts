import { existsSync, readdirSync } from 'node:fs'
import { join } from 'node:path'
import { LAYER_TREE } from '../../archive/layer-files.ts'
import { chainId, type Digest, digestHex } from '../../spec/digest.ts'

/** Layers that correct stacks, by the top layer of the stack, with which they go, and its chain ID. */
export interface StackCorrections {
  /** Where the corrections of a stack are, if it needs any. */
  path(stack: readonly Digest[]): string
  /** The tree that goes on top of a stack. */
  tree(stack: readonly Digest[]): string | undefined
  /** Those of stacks that have this top layer. */
  ofTop(diffId: Digest): string[]
  /** Those of stacks whose top layer, known by its hex digits, is not there. */
  withoutTop(isThere: (hex: string) => boolean): string[]
}

export function stackCorrections(directory: string): StackCorrections {
  const names = () => (existsSync(directory) ? readdirSync(directory) : [])
  const inDirectory = (name: string) => join(directory, name)
  const path = (stack: readonly Digest[]) => join(directory, `${digestHex(stack.at(-1) as Digest)}-${digestHex(chainId(stack))}`)
  return {
    path,
    tree(stack) {
      if (stack.length < 2) return undefined
      const tree = join(path(stack), LAYER_TREE)
      return existsSync(tree) ? tree : undefined
    },
    ofTop: (diffId) =>
      names()
        .filter((name) => name.startsWith(`${digestHex(diffId)}-`))
        .map(inDirectory),
    withoutTop: (isThere) =>
      names()
        .filter((name) => !isThere(name.slice(0, name.indexOf('-'))))
        .map(inDirectory),
  }
}

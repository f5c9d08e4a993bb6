/** A contiguous range of an ID mapping of the worker's user namespace. */
export interface IdRange {
  /** First ID inside. */
  readonly inside: number
  /** First ID outside. */
  readonly outside: number
  readonly size: number
}

/** One line of /etc/subuid or /etc/subgid. @see subuid(5) */
export interface SubordinateRange {
  readonly first: number
  readonly size: number
}

/** The ranges that a subuid or subgid file gives a user, by name or by number, in file order. */
export function subordinateRanges(text: string, user: { readonly name: string; readonly id: number }): SubordinateRange[] {
  const ranges: SubordinateRange[] = []
  for (const line of text.split('\n')) {
    const [owner, first, size] = line.trim().split(':')
    if (owner !== user.name && owner !== String(user.id)) continue
    const range = { first: Number(first || Number.NaN), size: Number(size) }
    if (Number.isSafeInteger(range.first) && Number.isSafeInteger(range.size) && range.size > 0) ranges.push(range)
  }
  return ranges
}

/** The mapping of a rootless user namespace: the user becomes root, the subordinate ranges follow from 1 on. */
export function rootlessMapping(ownId: number, ranges: readonly SubordinateRange[]): IdRange[] {
  const mapping: IdRange[] = [{ inside: 0, outside: ownId, size: 1 }]
  let next = 1
  for (const { first, size } of ranges) {
    mapping.push({ inside: next, outside: first, size })
    next += size
  }
  return mapping
}

/** Two ranges of a mapping that give the same outer id twice, which the kernel refuses without saying so. */
export function overlap(mapping: readonly IdRange[]): readonly [IdRange, IdRange] | undefined {
  const sorted = [...mapping].sort((a, b) => a.outside - b.outside)
  for (const [index, range] of sorted.entries()) {
    const next = sorted[index + 1]
    if (next !== undefined && next.outside < range.outside + range.size) return [range, next]
  }
  return undefined
}

/** `/proc/<pid>/uid_map` as ranges. @see user_namespaces(7) */
export function parseIdMap(text: string): IdRange[] {
  return text
    .split('\n')
    .map((line) => line.trim().split(/\s+/).map(Number))
    .filter((fields) => fields.length === 3)
    .map(([inside = 0, outside = 0, size = 0]) => ({ inside, outside, size }))
}

/** Whether an ID exists inside the mapping. */
export function isMapped(id: number, mapping: readonly IdRange[]): boolean {
  return mapping.some(({ inside, size }) => id >= inside && id < inside + size)
}

const ALL_IDS = 4294967295

/** Whether the mapping is that of the first user namespace, where every id is itself. */
export function mapsEverything(mapping: readonly IdRange[]): boolean {
  return mapping.length === 1 && mapping[0]?.size === ALL_IDS
}

import { type FileFacts, treeFacts } from './tree-listing.ts'

/** A difference that is another engine's, with the reason why it is that engine which is wrong. */
export interface KnownDifference {
  readonly why: string
  /** Names that it concerns; a directory's own, not those below it. */
  readonly names: (name: string) => boolean
  readonly what: keyof FileFacts | 'only here' | 'only there'
}

interface Difference {
  readonly name: string
  readonly what: KnownDifference['what']
  readonly here: unknown
  readonly there: unknown
}

/** What two comparisons of one tree come to: both lists must be empty. */
export interface TreeComparison {
  readonly differences: readonly string[]
  /** Differences that were foreseen and are not there: the list of them is out of date. */
  readonly unfounded: readonly string[]
}

/** Compares two mounted trees, but for the known differences, each of which must be there. */
export function compareTrees(here: string, there: string, known: readonly KnownDifference[]): TreeComparison {
  const used = new Set<KnownDifference>()
  const differences: string[] = []
  for (const { name, what, ...values } of differencesOf(treeFacts(here), treeFacts(there))) {
    const reasons = known.filter((one) => one.what === what && one.names(name))
    for (const reason of reasons) used.add(reason)
    if (reasons.length === 0) differences.push(`${JSON.stringify(name)} ${what}: ${show(values.here)}, there ${show(values.there)}`)
  }
  return { differences, unfounded: known.filter((one) => !used.has(one)).map(({ why, what }) => `${what}: ${why}`) }
}

function* differencesOf(here: Map<string, FileFacts>, there: Map<string, FileFacts>): Generator<Difference> {
  for (const name of new Set([...here.keys(), ...there.keys()])) {
    const [one, other] = [here.get(name), there.get(name)]
    if (one === undefined || other === undefined)
      yield { name, what: one === undefined ? 'only there' : 'only here', here: one?.type, there: other?.type }
    else
      for (const what of Object.keys(one) as (keyof FileFacts)[])
        if (show(one[what]) !== show(other[what])) yield { name, what, here: one[what], there: other[what] }
  }
}

function show(value: unknown): string {
  return JSON.stringify(value, (_, part) => (typeof part === 'bigint' ? String(part) : part)) ?? 'nothing'
}

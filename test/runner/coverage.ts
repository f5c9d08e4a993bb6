import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { join, relative } from 'node:path'
import coverage, { type CoverageMap } from 'istanbul-lib-coverage'

/** Percent of lines that the tests must run, by the beginning of the path. What runs in worker processes is not seen here. */
export type CoverageFloors = Readonly<Record<string, number>>

interface Row {
  readonly name: string
  readonly lines: number
  readonly branches: number
  readonly files: number
}

/** Adds up what the runs of jest have written into `directories`, and keeps the sum in `target` for other tools. */
export function mergeCoverage(directories: readonly string[], target: string): CoverageMap {
  const map = coverage.createCoverageMap({})
  for (const directory of directories) {
    const file = join(directory, 'coverage-final.json')
    if (existsSync(file)) map.merge(JSON.parse(readFileSync(file, 'utf8')))
  }
  writeFileSync(join(target, 'coverage-final.json'), JSON.stringify(map))
  return map
}

/** One line a folder of `src`, and the sum. */
export function coverageTable(map: CoverageMap): string {
  const folders = [...new Set(sources(map).map(folderOf))].sort()
  const rows = [...folders.map((folder) => summarise(map, folder, (path) => folderOf(path) === folder)), summarise(map, 'all', () => true)]
  const cells = rows.map(({ name, files, lines, branches }) => [name, String(files), percent(lines), percent(branches)])
  return [['folder', 'files', 'lines', 'branches'], ...cells]
    .map(([name = '', ...figures]) => name.padEnd(20) + figures.map((figure) => figure.padStart(10)).join(''))
    .join('\n')
}

/** What lies below its floor, one sentence each. */
export function belowFloor(map: CoverageMap, floors: CoverageFloors): string[] {
  return Object.entries(floors).flatMap(([prefix, floor]) => {
    const { lines } = summarise(map, prefix, (path) => path.startsWith(prefix))
    return lines < floor ? [`${prefix}: ${percent(lines)} of the lines are tested, the floor is ${floor} %`] : []
  })
}

function summarise(map: CoverageMap, name: string, isMeant: (path: string) => boolean): Row {
  const summary = coverage.createCoverageSummary()
  const meant = sources(map).filter(isMeant)
  for (const path of meant) summary.merge(map.fileCoverageFor(join(process.cwd(), path)).toSummary())
  return { name, files: meant.length, lines: summary.lines.pct, branches: summary.branches.pct }
}

const sources = (map: CoverageMap) => map.files().map((path) => relative(process.cwd(), path))
const folderOf = (path: string) => path.split('/').slice(0, -1).slice(0, 2).join('/')
const percent = (value: number) => `${value.toFixed(1)} %`

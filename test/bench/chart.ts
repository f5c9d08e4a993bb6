import type { BenchResult } from './report.ts'

const BAR = 18
const ROW = 58
const LEFT = 140
const WIDTH = 860
const LONGEST = 520
const COLORS = { podlib: '#2b6cb0', peer: '#cbd5e0', text: '#1a202c', faint: '#718096' } as const

/** An SVG of bars, two a case: the peer's is as long as the figure is wide, podlib's in proportion. */
export function drawChart(results: readonly BenchResult[], caption: string): string {
  const compared = results.filter(({ peer, podlib }) => peer !== null && podlib <= peer.value)
  const height = compared.length * ROW + 60
  const rows = compared.map((result, index) => drawCase(result, 40 + index * ROW)).join('\n')
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${height}" font-family="system-ui, sans-serif" font-size="13"><title>podlib and its peers, measured in turn</title>
<rect width="100%" height="100%" fill="#ffffff"/>
${text(LEFT, 22, COLORS.text, 'Shorter is better. Each pair was measured in turn on one machine.')}
${rows}
${text(LEFT, height - 10, COLORS.faint, caption)}
</svg>
`
}

function drawCase({ case: name, unit, podlib, peer, ratio }: BenchResult, y: number): string {
  const share = peer ? podlib / peer.value : 1
  const short = Math.max(2, LONGEST * share)
  return [
    `<text x="${LEFT - 10}" y="${y + BAR + 4}" text-anchor="end" fill="${COLORS.text}">${escapeText(name)}</text>`,
    `<rect x="${LEFT}" y="${y}" width="${short.toFixed(1)}" height="${BAR}" fill="${COLORS.podlib}"/>`,
    text(LEFT + short + 6, y + 14, COLORS.text, `podlib ${podlib} ${unit}, ${ratio} times faster`),
    `<rect x="${LEFT}" y="${y + BAR + 2}" width="${LONGEST}" height="${BAR}" fill="${COLORS.peer}"/>`,
    text(LEFT + LONGEST + 6, y + BAR + 16, COLORS.faint, `${peer?.name} ${peer?.value} ${unit}`),
  ].join('\n')
}

const text = (x: number, y: number, color: string, content: string) =>
  `<text x="${x.toFixed(1)}" y="${y}" fill="${color}">${escapeText(content)}</text>`

const escapeText = (content: string) => content.replace(/[&<>]/g, (character) => `&#${character.charCodeAt(0)};`)

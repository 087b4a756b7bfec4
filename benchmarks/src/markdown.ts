import type { Presentation } from './benchmark.ts'
import type { BenchRecord } from './record.ts'
import { describe, isFigure, type Table } from './report.ts'

/** The table in Markdown; the repository's formatter pads it. */
export function tableToMarkdown({ title, columns, rows, notes = [] }: Table): string {
  const sides = columns.map((_, index) => {
    const cells = rows.map((row) => row[index] ?? '').filter((cell) => cell !== '')
    return cells.length > 0 && cells.every(isFigure) ? '---:' : '---'
  })
  const line = (cells: readonly string[]): string =>
    `| ${cells.map((cell) => cell.replaceAll('|', '\\|')).join(' | ')} |`
  const table = [line(columns), line(sides), ...rows.map(line)].join('\n')
  return [`${title[0]?.toUpperCase()}${title.slice(1)}:`, table, ...notes].join('\n\n')
}

/**
 * All that a run found, as Markdown.
 *
 * @param plots - where the plots lie, as seen from the page.
 */
export function reportToMarkdown(
  record: BenchRecord,
  { tables, charts = [] }: Presentation,
  plots: string,
): string {
  const pictures = charts.map(
    ({ name, title }) => `![${title}](${plots}/${record.name}-${name}.svg)`,
  )
  const redraw = charts.length === 0 ? [] : [`Redrawn by \`npm run bench -- plot ${record.name}\`.`]
  const head = `Measured by \`${record.conditions.command}\`, ${describe(record)}.`
  return [head, ...tables.map(tableToMarkdown), ...pictures, ...redraw].join('\n\n')
}

/**
 * Replaces what stands between the marks of a region, `<!-- bench:name -->` and `<!-- /bench:name -->`.
 *
 * @throws Error if the page has no such region.
 */
export function fillRegion(page: string, name: string, content: string): string {
  const opening = `<!-- bench:${name} -->`
  const closing = `<!-- /bench:${name} -->`
  const start = page.indexOf(opening)
  const end = page.indexOf(closing)
  if (start === -1 || end < start) {
    throw new Error(`PERFORMANCE.md has no region ${opening} … ${closing}`)
  }
  return `${page.slice(0, start + opening.length)}\n\n${content}\n\n${page.slice(end)}`
}

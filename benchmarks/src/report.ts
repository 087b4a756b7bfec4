import { arch, cpus, platform, release } from 'node:os'
import type { Measured } from './measure.ts'
import type { BenchOptions } from './options.ts'

/** One table of a report: lines of cells under headings. */
export interface Table {
  readonly title: string
  readonly columns: readonly string[]
  readonly rows: readonly (readonly string[])[]
  readonly notes?: readonly string[]
}

/** What one benchmark found: for people as tables, for programs as it is. */
export interface Report {
  readonly name: string
  readonly tables: readonly Table[]
  readonly results: unknown
}

/** What the figures depend on. */
export interface Conditions {
  readonly date: string
  readonly command: string
  readonly node: string
  readonly postgres: string
  readonly system: string
  readonly cores: number
}

/** Describes this run. */
export function conditions(postgres: string): Conditions {
  return {
    date: new Date().toISOString().slice(0, 10),
    command: `npm run bench -- ${process.argv.slice(2).join(' ')}`,
    node: process.versions.node,
    postgres,
    system: `${platform()} ${release()} ${arch()}`,
    cores: cpus().length,
  }
}

/** A table of rates and of the shares that they are of their limits. */
export function ratesTable(title: string, measured: readonly Measured[]): Table {
  return {
    title,
    columns: ['case', 'per second', 'min – max', 'of', 'ratio', 'min – max'],
    rows: measured.map(({ name, median, min, max, ratio }) => [
      name,
      whole(median),
      `${whole(min)} – ${whole(max)}`,
      ratio?.against ?? '',
      ratio === undefined ? '' : fraction(ratio.median),
      ratio === undefined ? '' : `${fraction(ratio.min)} – ${fraction(ratio.max)}`,
    ]),
  }
}

/** A rate, without digits that mean nothing. */
export function whole(value: number): string {
  return Math.round(value).toLocaleString('en')
}

/** A ratio or a small number. */
export function fraction(value: number): string {
  return value >= 10 ? value.toFixed(1) : value.toFixed(2)
}

/** The report as text. */
export function render(
  where: Conditions,
  options: BenchOptions,
  reports: readonly Report[],
): string {
  const { date, command, node, postgres, system, cores } = where
  const delay = options.commitDelay === 0 ? '' : `, commits ${options.commitDelay} ms slower`
  const head = `${command}\n${date}, Node ${node}, Postgres ${postgres}${delay}, ${cores} cores, ${system}; medians of ${options.runs} rounds`
  const tables = reports.flatMap((report) => report.tables.map(renderTable))
  return `${[head, ...tables].join('\n\n')}\n`
}

function renderTable({ title, columns, rows, notes = [] }: Table): string {
  const widths = columns.map((column, index) =>
    Math.max(column.length, ...rows.map((row) => (row[index] ?? '').length)),
  )
  const line = (cells: readonly string[]): string =>
    cells
      .map((cell, index) => pad(cell, widths[index] ?? 0))
      .join('  ')
      .trimEnd()
  const rule = widths.map((width) => '─'.repeat(width)).join('  ')
  return [title, line(columns), rule, ...rows.map(line), ...notes].join('\n')
}

// Figures to the right, words to the left.
function pad(cell: string, width: number): string {
  return /^[\d.,]+( [a-zµ/]+)?$/u.test(cell) ? cell.padStart(width) : cell.padEnd(width)
}

import type { Presentation } from './benchmark.ts'
import type { Measured } from './measure.ts'
import type { BenchRecord } from './record.ts'

/** One table of a report: lines of cells under headings. */
export interface Table {
  readonly title: string
  readonly columns: readonly string[]
  readonly rows: readonly (readonly string[])[]
  readonly notes?: readonly string[]
}

/** What one benchmark found: for people as tables and charts, for programs as it is. */
export interface Report extends Presentation {
  readonly name: string
  readonly results: unknown
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

/** One line: when, on what, with what the figures were measured. */
export function describe({ conditions, options }: BenchRecord): string {
  const { date, commit, modified, node, postgres, system, cores, load } = conditions
  const at = commit === null ? '' : ` at ${commit}${modified ? ', with changes,' : ''}`
  return `${date} UTC${at} on ${cores} cores (${system}), Node ${node}, Postgres ${postgres}; load ${load} at the start; rounds: ${options.runs}`
}

/** The report as text for a terminal. */
export function render(record: BenchRecord, { tables }: Presentation): string {
  const head = `${record.conditions.command}\n${describe(record)}`
  return `${[head, ...tables.map(renderTable)].join('\n\n')}\n`
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
  return isFigure(cell) ? cell.padStart(width) : cell.padEnd(width)
}

/** Stands for a figure in a cell whose question does not apply. */
export const notApplicable = '–'

/** Whether a cell holds a figure, with or without its unit or range. */
export function isFigure(cell: string): boolean {
  return cell === notApplicable || /^[\d.,]+( [a-zµ/]+)?( \([^)]*\)| – [\d.,]+)?$/u.test(cell)
}

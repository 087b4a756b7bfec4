import { stripVTControlCharacters } from 'node:util'
import { createColors } from 'picocolors'
import type { CliIo } from '../io.ts'

type Colors = ReturnType<typeof createColors>

/** A column of a table: its heading, and what it shows of a row. */
export interface Column<Row> {
  readonly heading: string
  readonly value: (row: Row) => unknown
  /** Defaults to `'left'`. */
  readonly align?: 'left' | 'right'
  /** Colours a cell after it has been laid out. */
  readonly paint?: (text: string, row: Row) => string
}

/** Writes results to stdout and everything else to stderr, in words or as JSON. */
export class Output {
  readonly colors: Colors
  readonly stderrColors: Colors
  readonly json: boolean
  readonly #io: CliIo

  constructor(io: CliIo, json: boolean) {
    this.#io = io
    this.json = json
    this.colors = createColors(io.colors.stdout)
    this.stderrColors = createColors(io.colors.stderr)
  }

  /** A result: `value` as JSON, or what `text` makes of it. */
  result(value: unknown, text: () => string): void {
    this.#io.stdout(this.json ? `${toJson(value, 2)}\n` : ensureLine(text()))
  }

  /** One result of many that follow each other: a line of JSON each. */
  item(value: unknown, text: () => string): void {
    this.#io.stdout(this.json ? `${toJson(value)}\n` : ensureLine(text()))
  }

  /** A list: an array in JSON, a table in words. */
  list<Row>(rows: readonly Row[], columns: readonly Column<Row>[], nothing: string): void {
    if (rows.length === 0 && !this.json) this.note(nothing)
    else this.result(rows, () => this.table(rows, columns))
  }

  /** Progress and remarks, on stderr. */
  note(text: string): void {
    this.#io.stderr(ensureLine(text))
  }

  /** A table with its columns aligned. */
  table<Row>(rows: readonly Row[], columns: readonly Column<Row>[]): string {
    const cells = rows.map((row) => columns.map((column) => cell(column.value(row))))
    const widths = fitted(
      columns.map((column, index) =>
        Math.max(column.heading.length, ...cells.map((row) => (row[index] ?? '').length)),
      ),
      columns,
      this.#io.columns,
    )
    const line = (
      texts: readonly string[],
      paint: (text: string, column: Column<Row>) => string,
    ): string =>
      columns
        .map((column, index) => {
          const width = widths[index] ?? 0
          const text = shortened(texts[index] ?? '', width)
          const space = ' '.repeat(width - text.length)
          const painted = paint(text, column)
          return column.align === 'right' ? space + painted : painted + space
        })
        .join('  ')
        .trimEnd()
    const headings = columns.map((column) => column.heading)
    return [
      line(headings, (text) => this.colors.dim(text)),
      ...rows.map((row, index) =>
        line(cells[index] ?? [], (text, column) => column.paint?.(text, row) ?? text),
      ),
    ].join('\n')
  }

  /** Names and values beneath each other; null and undefined are left out. */
  facts(facts: Readonly<Record<string, unknown>>): string {
    const shown = Object.entries(facts).filter(([, value]) => value !== null && value !== undefined)
    const width = Math.max(0, ...shown.map(([name]) => name.length))
    return shown
      .map(([name, value]) => `${this.colors.dim(name.padEnd(width))}  ${cell(value)}`)
      .join('\n')
  }
}

const narrowest = 8

/** Takes from the widest columns of text until a line fits the terminal. Numbers are never cut. */
function fitted(
  widths: readonly number[],
  columns: readonly { readonly align?: 'left' | 'right' }[],
  available: number | undefined,
): readonly number[] {
  const fitting = [...widths]
  if (available === undefined) return fitting
  const between = 2 * (columns.length - 1)
  for (;;) {
    const excess = fitting.reduce((sum, width) => sum + width, between) - available
    const texts = fitting.map((width, index) => (columns[index]?.align === 'right' ? 0 : width))
    const widest = Math.max(...texts)
    if (excess <= 0 || widest <= narrowest) return fitting
    fitting[texts.indexOf(widest)] = Math.max(narrowest, widest - 1)
  }
}

function shortened(text: string, width: number): string {
  return text.length <= width ? text : `${text.slice(0, Math.max(0, width - 1))}…`
}

/** JSON in which a bigint is a string and a Date an ISO time. */
export function toJson(value: unknown, indent?: number): string {
  return JSON.stringify(
    value,
    (_, item: unknown) => (typeof item === 'bigint' ? String(item) : item),
    indent,
  )
}

/** A value in a line of text. What others stored must not steer the terminal. */
export function cell(value: unknown): string {
  if (value === null || value === undefined) return '-'
  const text =
    value instanceof Date
      ? value.toISOString()
      : typeof value === 'string'
        ? value
        : toJson(value).replace(/^"(\d+)"$/u, '$1')
  return stripVTControlCharacters(text).replaceAll(/\p{Cc}/gu, ' ')
}

/** A number with its thousands set apart. */
export function count(value: number | bigint): string {
  return value.toLocaleString('en-US')
}

/** `1 event`, `2 events`. */
export function plural(value: number | bigint, noun: string, nouns: string = `${noun}s`): string {
  return `${count(value)} ${BigInt(value) === 1n ? noun : nouns}`
}

function ensureLine(text: string): string {
  return text.endsWith('\n') ? text : `${text}\n`
}

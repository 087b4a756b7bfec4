const newline = 0x0a
const carriage = 0x0d
const quote = 0x22
const blanks = new Set([0x20, 0x09, carriage])

/**
 * Counts the records of a table or of lines of JSON while it is written, whichever chunks it comes in: lines that are
 * not empty, and in a table not the first, which has the names of the columns. Line breaks within quotation marks are
 * part of a record (RFC 4180).
 */
export class RowCount {
  readonly #quotes: boolean
  #rows: number
  #within = false
  #filled = false

  private constructor(quotes: boolean) {
    this.#quotes = quotes
    this.#rows = quotes ? -1 : 0
  }

  /** Undefined for what has no records that could be counted. */
  static of(mimeType: string): RowCount | undefined {
    const [type] = mimeType.split(';')
    switch (type?.trim()) {
      case 'text/csv':
      case 'text/tab-separated-values':
        return new RowCount(true)
      case 'application/x-ndjson':
      case 'application/jsonl':
        return new RowCount(false)
      default:
        return undefined
    }
  }

  add(chunk: Uint8Array): void {
    for (const byte of chunk) {
      if (byte === quote && this.#quotes) this.#within = !this.#within
      if (byte === newline && !this.#within) this.#end()
      else if (!blanks.has(byte)) this.#filled = true
    }
  }

  /** How many there are, when all has been added. */
  total(): number {
    this.#end()
    return Math.max(0, this.#rows)
  }

  #end(): void {
    if (this.#filled) this.#rows += 1
    this.#filled = false
  }
}

const newline = 0x0a

/** A line, or how many bytes one had that is longer than allowed: of that nothing is kept. */
export type Line = { readonly bytes: Buffer } | { readonly tooLong: number }

/** Cuts what comes over a socket into lines. Bytes, not characters: a chunk may end in the middle of one. */
export class LineReader {
  readonly #most: number
  /** What there is of a line, and room for more of it: a client that sends byte by byte costs no more than its bytes. */
  #kept: Buffer = Buffer.alloc(0)
  #length = 0

  /** @param most - the most bytes of a line. */
  constructor(most: number) {
    this.#most = most
  }

  /** Whether a line has begun and not ended. */
  get inside(): boolean {
    return this.#length > 0
  }

  /** The lines that end in this chunk. */
  push(chunk: Buffer): Line[] {
    const lines: Line[] = []
    let start = 0
    for (let end = chunk.indexOf(newline); end !== -1; end = chunk.indexOf(newline, start)) {
      this.#keep(chunk.subarray(start, end))
      lines.push(...this.end())
      start = end + 1
    }
    this.#keep(chunk.subarray(start))
    return lines
  }

  /** What there is of a line when no more comes; nothing of an empty one. */
  end(): Line[] {
    const length = this.#length
    const bytes = this.#kept.subarray(0, length)
    this.#kept = Buffer.alloc(0)
    this.#length = 0
    if (length > this.#most) return [{ tooLong: length }]
    return isBlank(bytes) ? [] : [{ bytes }]
  }

  #keep(part: Buffer): void {
    const length = this.#length + part.length
    if (length > this.#most) this.#kept = Buffer.alloc(0)
    else {
      if (length > this.#kept.length) {
        const roomier = Buffer.allocUnsafe(Math.min(this.#most, Math.max(length, 2 * this.#length)))
        this.#kept.copy(roomier, 0, 0, this.#length)
        this.#kept = roomier
      }
      part.copy(this.#kept, this.#length)
    }
    this.#length = length
  }
}

/** An empty line, or one that holds only what a shell or Windows put there. */
function isBlank(bytes: Buffer): boolean {
  return bytes.every((byte) => byte === 0x20 || byte === 0x0d || byte === 0x09)
}

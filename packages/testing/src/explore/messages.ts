/** One message of the protocol between a client and the server. */
export interface Message {
  /** The letter that says what it is; '' for what a client sends first, which has none. */
  readonly type: string
  readonly bytes: Buffer
}

/** Cuts a stream of bytes into messages of Postgres' protocol, version 3. */
export class Messages {
  #rest: Buffer = Buffer.alloc(0)
  // A client begins with messages that have no letter.
  #greeting: boolean

  constructor(of: 'client' | 'server') {
    this.#greeting = of === 'client'
  }

  *read(chunk: Buffer): Generator<Message> {
    this.#rest = this.#rest.length === 0 ? chunk : Buffer.concat([this.#rest, chunk])
    for (;;) {
      const head = this.#greeting ? 0 : 1
      if (this.#rest.length < head + 4) return
      const length = head + this.#rest.readInt32BE(head)
      if (this.#rest.length < length) return
      const bytes = this.#rest.subarray(0, length)
      this.#rest = this.#rest.subarray(length)
      yield { type: head === 0 ? '' : String.fromCharCode(bytes[0] ?? 0), bytes }
      this.#greeting = false
    }
  }
}

/** The texts that stand one after the other in a message, each ended by a zero. */
export function textsOf({ bytes }: Message, count: number): string[] {
  const texts: string[] = []
  let from = 5
  for (let n = 0; n < count; n++) {
    const end = bytes.indexOf(0, from)
    texts.push(bytes.toString('utf8', from, end))
    from = end + 1
  }
  return texts
}

import { randomUUID } from 'node:crypto'

/** A state as this process has set it last. */
export interface Held {
  readonly key: string
  /** What is written, as a text of JSON without its `ttl`; undefined: it is removed. */
  readonly text: string | undefined
  readonly token: bigint | undefined
  /** When it is gone by itself, in milliseconds since 1970. */
  readonly expiresAt: number | undefined
  /** Since when the service is behind with it, in milliseconds of `performance.now()`. */
  readonly since: number
  /** Of this write: sent again, it happens once. */
  readonly writeId: string
  readonly bytes: number
  /** That the service has of it, as far as this process knows. */
  version: number | undefined
  underWay: boolean
  /** Something newer was set of the key, and there was no room for it. */
  outdated: boolean
}

/** How much is held. */
export interface HeldLimits {
  readonly mostStates: number
  readonly mostBytes: number
}

// What an entry takes besides its texts, measured as the growth of the heap by a hundred thousand of them.
const overhead = 500

/**
 * What this process has set last of each key: what the service does not have yet, in the order in which it was set, and
 * beside it, as far as there is room, what it has.
 */
export class HeldStates {
  readonly #limits: HeldLimits
  readonly #unsent = new Map<string, Held>()
  readonly #sent = new Map<string, Held>()
  #bytes = 0

  constructor(limits: HeldLimits) {
    this.#limits = limits
  }

  get size(): number {
    return this.#unsent.size + this.#sent.size
  }

  get bytes(): number {
    return this.#bytes
  }

  get unsent(): number {
    return this.#unsent.size
  }

  /** When the oldest of those was set that the service does not have yet. */
  get oldest(): number | undefined {
    const [first] = this.#unsent.values()
    return first?.since
  }

  find(key: string): Held | undefined {
    return this.#unsent.get(key) ?? this.#sent.get(key)
  }

  keys(): string[] {
    return [...this.#unsent.keys(), ...this.#sent.keys()]
  }

  unsentKeys(): string[] {
    return [...this.#unsent.keys()]
  }

  /**
   * Holds what is to be written; what the service has makes room for it.
   *
   * @returns false where there is no room: then what was held of the key stays, and is outdated.
   */
  set(key: string, what: Pick<Held, 'text' | 'token' | 'expiresAt'>): boolean {
    const before = this.find(key)
    const bytes = overhead + 2 * (key.length + (what.text?.length ?? 0))
    const grown = this.#bytes + bytes - (before?.bytes ?? 0)
    if (!this.#makeRoom(grown, before)) {
      if (before !== undefined) before.outdated = true
      return false
    }
    const held: Held = {
      key,
      ...what,
      // It has waited since the first of what was set and not written.
      since: this.#unsent.get(key)?.since ?? performance.now(),
      writeId: randomUUID(),
      bytes,
      version: before?.version,
      underWay: false,
      outdated: false,
    }
    // What is under way keeps its place: it is followed up when it is answered.
    this.#bytes += bytes - (before?.bytes ?? 0)
    this.#sent.delete(key)
    this.#unsent.set(key, held)
    if (before?.underWay === true) held.underWay = true
    return true
  }

  /** The next that is to be sent, marked as under way. */
  take(): Held | undefined {
    for (const held of this.#unsent.values()) {
      if (held.underWay) continue
      held.underWay = true
      return held
    }
    return undefined
  }

  /** The service has it; what was set meanwhile is still to be sent. */
  confirmed(held: Held, version: number | undefined): void {
    const current = this.#again(held)
    if (current !== undefined) current.version = version
    if (current !== held) return
    this.#unsent.delete(held.key)
    if (held.text === undefined) this.#bytes -= held.bytes
    else this.#sent.set(held.key, held)
  }

  /** It was not written, and is to be sent again. */
  failed(held: Held, version: number | undefined = held.version): void {
    const current = this.#again(held)
    if (current !== undefined) current.version = version
  }

  /** It is not written, and is not sent again. */
  givenUp(held: Held): void {
    if (this.#again(held) === held) this.forget(held)
  }

  /** As if it had never been set; what was set meanwhile stays. */
  forget(held: Held): void {
    if (this.find(held.key) !== held) return
    this.#unsent.delete(held.key)
    this.#sent.delete(held.key)
    this.#bytes -= held.bytes
  }

  /** What the service had, and has no longer: it is sent again, as another write. */
  again(held: Held, version: number | undefined): void {
    if (this.#sent.get(held.key) !== held) return
    this.#sent.delete(held.key)
    this.#unsent.set(held.key, {
      ...held,
      version,
      since: performance.now(),
      writeId: randomUUID(),
      underWay: false,
    })
  }

  /** What is held of the key of one that is no longer under way. */
  #again(held: Held): Held | undefined {
    const current = this.#unsent.get(held.key)
    if (current !== undefined) current.underWay = false
    return current
  }

  #makeRoom(bytes: number, before: Held | undefined): boolean {
    const { mostStates, mostBytes } = this.#limits
    let [left, states] = [bytes, this.size + (before === undefined ? 1 : 0)]
    if (left <= mostBytes && states <= mostStates) return true
    const leaving: Held[] = []
    for (const held of this.#sent.values()) {
      if (held === before) continue
      leaving.push(held)
      left -= held.bytes
      states -= 1
      if (left <= mostBytes && states <= mostStates) {
        for (const { key, bytes: freed } of leaving) {
          this.#sent.delete(key)
          this.#bytes -= freed
        }
        return true
      }
    }
    return false
  }
}

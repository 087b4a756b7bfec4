/** A field that states are found by. */
export type FieldValue = string | number | boolean

/** What a store holds under a key. */
export interface State<Value = unknown> {
  readonly key: string
  readonly value: Value
  /** 1 when it was created; each write adds one. It goes on where a deleted state of the key ended. */
  readonly version: number
  /** The fencing token of whoever wrote it last; 0n for one without. */
  readonly token: bigint
  readonly name: string | null
  readonly status: string | null
  /** What it is found by besides its name and status. */
  readonly fields: Readonly<Record<string, FieldValue>>
  readonly createdAt: Date
  readonly updatedAt: Date
  /** When it is gone by itself; null: never. */
  readonly expiresAt: Date | null
}

/** A new state. */
export interface NewState<Value = unknown> {
  readonly value: Value
  /** For filters, at most 100 bytes. Defaults to null. */
  readonly name?: string | null
  /** For filters, at most 100 bytes. Defaults to null. */
  readonly status?: string | null
  /** For filters: up to 20, texts of at most 256 bytes. Defaults to none. */
  readonly fields?: Readonly<Record<string, FieldValue>>
  /** How long until it is gone by itself, in milliseconds; null: it stays. Defaults to null. */
  readonly ttl?: number | null
}

/** What is changed of a state. What is left out stays; `fields` replace all fields. */
export type StateChange<Value = unknown> = Partial<NewState<Value>>

/** Under which conditions a write holds. The backend judges them, in the same operation that writes. */
export interface WriteOptions {
  /**
   * The fencing token of whoever writes, from a lock or a claim: whole, and growing with each holder. A write with a
   * token below the state's is refused. Defaults to 0n, which every state takes that was never written with a token.
   */
  readonly token?: bigint
  /** The write holds only if this is the state's version. Defaults to any. */
  readonly ifVersion?: number
  /**
   * An id of this write alone, a UUID for instance, at most 100 bytes: repeated with it, the write happens once, as long
   * as nobody else has written in between. Defaults to one of its own.
   */
  readonly writeId?: string
}

/** What is to be found. Everything that is given must hold. */
export interface StateFilter {
  /** One, or any of several. */
  readonly status?: string | readonly string[]
  readonly name?: string
  /** Fields of exactly these values. */
  readonly fields?: Readonly<Record<string, FieldValue>>
  /** Created at or after this time. */
  readonly createdFrom?: Date
  /** Created before this time. */
  readonly createdBefore?: Date
  /** Written at or after this time. */
  readonly updatedFrom?: Date
  /** Written before this time. */
  readonly updatedBefore?: Date
}

/** Which states, and how many. */
export interface ListOptions extends StateFilter {
  /** From 1 to 1,000. Defaults to 100. */
  readonly limit?: number
  /** The `next` of the page before. */
  readonly after?: string
  /**
   * What becomes of a state whose value cannot be read, for want of its key for instance: `'throw'` fails the page, `'skip'`
   * leaves it out and names it in `unreadable`. Defaults to `'throw'`.
   */
  readonly onUnreadable?: 'throw' | 'skip'
}

/** A state whose value cannot be read. It can be deleted, and written anew. */
export interface UnreadableState {
  readonly key: string
  readonly version: number
  readonly token: bigint
  /** Why, in words. */
  readonly problem: string
}

/** Some of the states, those created last first. */
export interface StatePage<Value = unknown> {
  readonly states: readonly State<Value>[]
  /** Those of the page that were left out; only with `onUnreadable: 'skip'`. */
  readonly unreadable: readonly UnreadableState[]
  /** Where the next page begins; null: this was the last one. */
  readonly next: string | null
}

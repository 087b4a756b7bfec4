import type { DbBinding, ForeignTransaction } from 'tidemark'

/** An ORM, set up as its users set it up, with a table `notes (id, note)`. */
export interface Subject {
  readonly name: string
  readonly connect: (url: string) => Promise<Connected>
}

/** An ORM that is connected to a database. */
export interface Connected {
  /** Runs `work` in a transaction of the ORM, with what it gives and the option `tx` made of it. */
  readonly transaction: (
    work: (own: unknown, tx: ForeignTransaction) => Promise<void>,
  ) => Promise<void>
  /** Runs `work` in a transaction inside of one of the ORM. */
  readonly nested: (
    own: unknown,
    work: (own: unknown, tx: ForeignTransaction) => Promise<void>,
  ) => Promise<void>
  /** What looks like a transaction and is none; the function may refuse it itself. */
  readonly outside: readonly (() => ForeignTransaction)[]
  /** The option `db`; undefined: the ORM cannot work in a transaction of somebody else's. */
  readonly bind: DbBinding | undefined
  /** Inserts a note by what the ORM gave, or by `db`. */
  readonly insert: (own: unknown, note: string) => Promise<void>
  /** Reads all notes by what the ORM gave, or by `db`, in order. */
  readonly notes: (own: unknown) => Promise<string[]>
  readonly close: () => Promise<void>
}

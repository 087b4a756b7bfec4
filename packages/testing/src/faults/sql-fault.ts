import { randomBytes } from 'node:crypto'
import type { FaultyDatabase } from './faults.ts'

/** A fault that has been planted. Dispose it to remove it. */
export interface Fault extends AsyncDisposable {
  /** How often it was passed, whether or not it struck; this survives rollbacks. */
  hits(): Promise<number>
}

/** A trigger that does harm. */
interface Harm {
  readonly table: 'cursors' | 'events' | 'doorbells' | 'jobs' | 'job_states' | 'job_steps'
  /** Before the row changes, or as a constraint, which is checked at COMMIT. */
  readonly when: 'before' | 'constraint'
  /** PL/pgSQL; `hit` is an expression that counts and answers the count. */
  readonly body: (hit: string) => string
}

/** A fault that is a trigger. */
export class SqlFault implements Fault {
  readonly #database: FaultyDatabase
  readonly #name: string
  readonly #table: string
  #removed: Promise<void> | undefined

  private constructor(database: FaultyDatabase, name: string, table: string) {
    this.#database = database
    this.#name = name
    this.#table = table
  }

  static async plant(database: FaultyDatabase, { table, when, body }: Harm): Promise<SqlFault> {
    const name = `fault_${randomBytes(4).toString('hex')}`
    const fault = new SqlFault(database, name, `"${database.schema}".${table}`)
    const kind =
      when === 'before'
        ? `trigger ${name} before insert or update on`
        : `constraint trigger ${name} after insert or update on`
    const timing = when === 'before' ? '' : 'deferrable initially deferred'
    // A sequence counts across rollbacks.
    await define(
      database,
      `
      create schema if not exists tidemark_faults;
      create sequence tidemark_faults.${name};
      create function tidemark_faults.${name}() returns trigger language plpgsql as $fault$
      begin ${body(`nextval('tidemark_faults.${name}')`)} end $fault$;
      create ${kind} ${fault.#table} ${timing} for each row execute function tidemark_faults.${name}()`,
    )
    return fault
  }

  async hits(): Promise<number> {
    const { rows } = await this.#database.query<{ hits: string }>(
      `select coalesce(pg_sequence_last_value('tidemark_faults.${this.#name}'::regclass), 0) as hits`,
    )
    return Number(rows[0]?.hits)
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#removed ??= this.#remove()
    await this.#removed
  }

  async #remove(): Promise<void> {
    await define(
      this.#database,
      `
      drop trigger ${this.#name} on ${this.#table};
      drop function tidemark_faults.${this.#name}();
      drop sequence tidemark_faults.${this.#name}`,
    )
  }
}

const mostTries = 5

/** Runs definitions on tables that others work with. A deadlock with one of them has changed nothing: once more. */
async function define(database: FaultyDatabase, text: string): Promise<void> {
  for (let tries = 1; ; tries++) {
    try {
      await database.query(text)
      return
    } catch (error) {
      const { code } = error as { readonly code?: unknown }
      if (code !== '40P01' || tries === mostTries) throw error
    }
  }
}

import type { TestDatabase } from '@tidemark/testing'
import type pg from 'pg'

/** A connection that publishes in SQL, and commits when the test says so. Ends with `await using`. */
export class SqlPublisher implements AsyncDisposable {
  readonly client: pg.Client
  readonly #schema: string

  private constructor(client: pg.Client, schema: string) {
    this.client = client
    this.#schema = schema
  }

  static async open(database: TestDatabase): Promise<SqlPublisher> {
    return new SqlPublisher(await database.connect(), database.schema)
  }

  /** Opens a transaction, and publishes in it if there are notes. */
  async begin(...notes: readonly string[]): Promise<void> {
    await this.client.query('begin')
    await this.publish(...notes)
  }

  /** Publishes; answers the sequence of the last note. */
  async publish(...notes: readonly string[]): Promise<bigint> {
    let last = 0n
    for (const note of notes) {
      const { rows } = await this.client.query<{ sequence: string }>(
        `insert into ${this.#schema}.events (type, payload)
         values ('test.noted', jsonb_build_object('note', $1::text)) returning sequence`,
        [note],
      )
      last = BigInt(rows[0]?.sequence ?? 0)
    }
    return last
  }

  async query(text: string): Promise<pg.QueryResult> {
    return this.client.query(text)
  }

  async commit(): Promise<void> {
    await this.client.query('commit')
  }

  async rollback(): Promise<void> {
    await this.client.query('rollback')
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.client.end()
  }
}

import type { TestDatabase } from '@tidemark/testing'
import pg from 'pg'
import type {
  PreparingExecutor,
  QueryResult,
} from '../../../packages/core/src/database/executor.ts'
import type { Statement } from '../../../packages/core/src/database/statement.ts'

const jsonb = 3802
// How exactly the server's clock follows, in milliseconds.
const resolution = 10

/** What simulated processes have asked so far. */
export interface Traffic {
  queries: number
  /** Of the JSON in the answers. */
  bytes: number
  /** The longest answer. */
  most: number
}

/**
 * A real server with the real statements, whose clock is the simulation's: where Tidemark asks `clock_timestamp()`, it is
 * answered the simulated moment.
 */
export class SimulatedServer implements AsyncDisposable {
  readonly #client: pg.Client
  /** How long the values were that were read since it was asked last. */
  readonly #takeBytes: () => number
  readonly traffic = new Map<string, Traffic>()
  #now = -resolution

  private constructor(client: pg.Client, takeBytes: () => number) {
    this.#client = client
    this.#takeBytes = takeBytes
  }

  static async on(database: TestDatabase): Promise<SimulatedServer> {
    await database.query(`
      CREATE SCHEMA simulated;
      CREATE FUNCTION simulated.clock() RETURNS timestamptz LANGUAGE sql
        AS $$ SELECT to_timestamp(current_setting('simulated.now')::float8 / 1000) $$;
      ALTER TABLE tidemark.processes ALTER heartbeat_at SET DEFAULT simulated.clock(),
        ALTER started_at SET DEFAULT simulated.clock();
      ALTER TABLE tidemark.cursors ALTER updated_at SET DEFAULT simulated.clock()`)
    // The driver's parser of jsonb sees how long an answer is.
    let bytes = 0
    const parse = (text: string): unknown => {
      bytes += text.length
      return JSON.parse(text)
    }
    const client = await database.connect({
      types: {
        getTypeParser: ((oid: number, format?: 'text') =>
          oid === jsonb ? parse : pg.types.getTypeParser(oid, format)) as never,
      },
    })
    await client.query('SET synchronous_commit = off')
    const server = new SimulatedServer(client, () => {
      const read = bytes
      bytes = 0
      return read
    })
    await server.moveTo(0)
    return server
  }

  /** The simulated moment, in milliseconds. */
  get now(): number {
    return this.#now
  }

  async moveTo(now: number): Promise<void> {
    if (now < this.#now + resolution) return
    this.#now = now
    await this.#client.query(`SELECT set_config('simulated.now', $1, false)`, [String(now)])
  }

  /** Asks what no process asks. */
  async look<Row extends pg.QueryResultRow>(text: string): Promise<Row[]> {
    return (
      await this.#client.query<Row>(text.replaceAll('clock_timestamp()', 'simulated.clock()'))
    ).rows
  }

  /** Asks as a process does. */
  get executor(): PreparingExecutor {
    const run = async ({ name, text }: Statement, values: unknown[]): Promise<QueryResult> => {
      const asked = text.replaceAll('clock_timestamp()', 'simulated.clock()')
      const answer = await this.#client.query({ name, text: asked, values })
      this.#count(name, this.#takeBytes())
      return answer
    }
    return {
      run,
      query: (text, values = []) => run({ name: '', text }, values),
      ask: () => Promise.reject(new Error('not simulated')),
      fetch: () => Promise.reject(new Error('not simulated')),
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#client.end()
  }

  #count(name: string, bytes: number): void {
    const traffic = this.traffic.get(name) ?? { queries: 0, bytes: 0, most: 0 }
    traffic.queries += 1
    traffic.bytes += bytes
    traffic.most = Math.max(traffic.most, bytes)
    this.traffic.set(name, traffic)
  }
}

import { setTimeout as delay } from 'node:timers/promises'
import pg from 'pg'
import { defineJob } from 'tidemark'
import { afterEach, expect, test } from 'vitest'
import { z } from 'zod'
import { useFreshDatabase } from '../support/fresh-database.ts'
import { LogBook } from '../support/log-book.ts'
import { appOn } from '../support/test-app.ts'

const database = useFreshDatabase()
const input = z.object({})
/** What a transaction says whose COMMIT is to be answered late: others of the process are not held up. */
const mark = 'SELECT 1 AS marked'
const pools: LatePool[] = []

afterEach(async () => {
  for (const pool of pools.splice(0)) await pool.end()
})

/** A pool on which answers to COMMIT can be late, as they are when the event loop is busy. */
class LatePool extends pg.Pool {
  /** What the answers to COMMIT wait for. */
  late: (() => Promise<void>) | undefined

  constructor(connectionString: string) {
    const told = (): LatePool => this
    class Client extends pg.Client {
      #marked = false

      override query(...given: unknown[]): never {
        const [first] = given
        const text = typeof first === 'string' ? first : (first as { text?: string }).text
        // Whichever of its signatures it was called by.
        const query = super.query.bind(this) as (...all: unknown[]) => Promise<unknown>
        const answer = query(...given)
        const pool = told()
        if (text === mark) this.#marked = true
        const { late } = pool
        if (text !== 'COMMIT' || late === undefined || !this.#marked) return answer as never
        this.#marked = false
        return answer.then(async (result) => {
          await late()
          return result
        }) as never
      }
    }
    super({ connectionString, max: 20, Client: Client as unknown as typeof pg.Client })
    pools.push(this)
  }
}

/** Runs a job of each definition whose COMMIT is answered late, and answers what the log says of it. */
async function warningsOf(
  pool: LatePool,
  jobs: readonly ReturnType<typeof defineJob>[],
): Promise<string[]> {
  const book = new LogBook()
  await using app = appOn(database, jobs, { logger: book, pool })
  const handles = await Promise.all(jobs.map((job) => app.jobs.spawn(job, {})))
  await using runner = await app.start({ handleSignals: false, sharePool: true })
  for (const handle of handles) await handle.result({ timeout: '30s' })
  pool.late = undefined
  // Until whatever there is to say has been said.
  await runner.stop()
  await app.close()
  return book.entries
    .filter(({ level }) => level !== 'info' && level !== 'debug')
    .map(({ message }) => message)
}

test('a job whose time is over between its COMMIT and the answer has completed', async () => {
  const pool = new LatePool(database.url)
  const job = defineJob('just.in.time', {
    input,
    timeout: '2s',
    run: async (_, ctx) => {
      await ctx.transaction(async (tx) => {
        await tx.tx.query(mark)
        tx.complete('done')
        // Longer than the job may take, and not so long that nobody would believe in an answer.
        pool.late = () => delay(2_500)
      })
    },
  })
  expect(await warningsOf(pool, [job])).toEqual([])
})

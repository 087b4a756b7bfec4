import { setTimeout as delay } from 'node:timers/promises'
import pg from 'pg'
import { insertSql } from './database.ts'
import { flight } from './events.ts'
import { LeanClient, LeanStatement, leanRun } from './lean-client.ts'

/** What the publishing process is to do. */
export interface LoadRequest {
  readonly url: string
  /** Events a second; null for as many as the clients can publish. */
  readonly rate: number | null
  readonly seconds: number
  readonly clients: number
}

/** What it did. */
export interface LoadResult {
  readonly published: number
  readonly seconds: number
}

const type = 'bench.flight_arrived'

async function publishAtRate(url: string, rate: number, seconds: number): Promise<LoadResult> {
  const pool = new pg.Pool({ connectionString: url, max: 16 })
  const started = performance.now()
  const pending: Promise<unknown>[] = []
  const total = Math.round(rate * seconds)
  for (let n = 0; n < total; n++) {
    // By the plan, not by the time of the last one: a late event does not make the others later. Jitter keeps the
    // publisher out of step with whoever polls.
    const due = ((n + Math.random()) * 1000) / rate
    const early = started + due - performance.now()
    if (early > 0) await delay(early)
    const values = [type, JSON.stringify(flight(n))]
    pending.push(pool.query({ name: 'publish', text: insertSql('tidemark.events'), values }))
  }
  await Promise.all(pending)
  const elapsed = (performance.now() - started) / 1000
  await pool.end()
  return { published: total, seconds: elapsed }
}

async function publishAtFullSpeed(
  url: string,
  clients: number,
  seconds: number,
): Promise<LoadResult> {
  await using disposables = new AsyncDisposableStack()
  const values = [type, JSON.stringify(flight(1))]
  const insert = new LeanStatement('insert', insertSql('tidemark.events'), values)
  const opened = Array.from({ length: clients }, () => LeanClient.connect(url, [insert]))
  const lean = (await Promise.all(opened)).map((client) => disposables.use(client))
  const run = await leanRun(lean, insert, seconds)
  // Each client published one event more, when it prepared its statement.
  return { published: run.executions + clients, seconds: run.seconds }
}

// Whoever asked has the answer, or is gone.
process.once('disconnect', () => process.exit())
process.once('message', (message) => {
  const { url, rate, seconds, clients } = message as LoadRequest
  const publishing =
    rate === null ? publishAtFullSpeed(url, clients, seconds) : publishAtRate(url, rate, seconds)
  publishing.then(
    (result) => process.send?.(result),
    (error: unknown) => {
      process.stderr.write(`${String(error)}\n`)
      process.exitCode = 1
      process.disconnect()
    },
  )
})

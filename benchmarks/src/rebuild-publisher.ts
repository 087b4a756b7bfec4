import { setTimeout as delay } from 'node:timers/promises'
import pg from 'pg'
import { insertSql } from './database.ts'
import type { RealFlight } from './real-flights.ts'

/** What the publishing process is to do, until it is told to stop. */
export interface PublisherRequest {
  readonly url: string
  /** Events a second. */
  readonly rate: number
}

/** How long each publish took, in milliseconds. */
export interface PublisherResult {
  readonly latencies: readonly number[]
}

async function publish({ url, rate }: PublisherRequest): Promise<void> {
  let publishing = true
  process.once('message', () => {
    publishing = false
  })
  const pool = new pg.Pool({ connectionString: url, max: 16 })
  const text = insertSql('tidemark.events')
  const latencies: number[] = []
  const pending: Promise<unknown>[] = []
  process.send?.('ready')
  const started = performance.now()
  for (let n = 0; publishing; n++) {
    // By the plan, not by the time of the last one: a late event does not make the others later.
    const due = started + (n * 1000) / rate
    const early = due - performance.now()
    if (early > 0) await delay(early)
    const values = ['flight.arrived', JSON.stringify(flight(n))]
    const sent = performance.now()
    pending.push(
      pool.query({ name: 'publish', text, values }).then(() => {
        // Those of the first second prepare their statements.
        return sent - started < 1000 || latencies.push(performance.now() - sent)
      }),
    )
  }
  await Promise.all(pending)
  await pool.end()
  const result: PublisherResult = { latencies }
  await new Promise<void>((resolve) =>
    process.send?.(result, undefined, undefined, () => resolve()),
  )
}

function flight(n: number): RealFlight {
  const late = (n % 90) - 10
  const route = { origin: 'SFO', destination: n % 2 === 0 ? 'LAX' : 'SEA', distance: 337 }
  return { flight: 4_000_000 + n, departed: '2001-12-31T23:59', delay: late, ...route }
}

process.once('message', (request) => {
  publish(request as PublisherRequest)
    .catch((error: unknown) => {
      process.stderr.write(`${error instanceof Error ? error.stack : String(error)}\n`)
      process.exitCode = 1
    })
    .finally(() => process.disconnect())
})

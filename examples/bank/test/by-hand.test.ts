import { readFile } from 'node:fs/promises'
import { setTimeout as delay } from 'node:timers/promises'
import type { TestDatabase } from '@tidemark/testing'
import { useTestDatabase } from '@tidemark/testing/vitest'
import { defineApp, silentLogger, type EventDraft } from 'tidemark'
import { expect, test, vi } from 'vitest'
import { readDashboard, record, runDashboard, tablesSql } from '../by-hand/dashboard.ts'
import { facilityActivated, proposalDeclined, proposalSubmitted } from '../src/credit/events.ts'
import { dashboard, type Dashboard } from '../src/dashboard/index.ts'

/** What both ways to write the dashboard are tested through. */
interface Lending extends AsyncDisposable {
  /** Publishes in a transaction that is slow, and perhaps rolled back. */
  publish(draft: EventDraft, seconds: number, fail: boolean): Promise<void>
  read(): Promise<Dashboard>
}

const database = useTestDatabase()
const rolledBack = new Error('rolled back')

async function withTidemark(url: string): Promise<Lending> {
  const modules = [dashboard, proposalSubmitted, proposalDeclined, facilityActivated]
  const workers = [1, 2].map(() =>
    defineApp({ modules, connectionString: url, logger: silentLogger }),
  )
  await Promise.all(workers.map((app) => app.start({ handleSignals: false, leaseDuration: 2_000 })))
  const [app] = workers as [(typeof workers)[0]]
  return {
    publish: async (draft, seconds, fail) => {
      await app.transaction(async (tx) => {
        tx.publish(draft)
        await tx.query('SELECT pg_sleep($1)', [seconds])
        if (fail) throw rolledBack
      })
    },
    read: () => app.read(dashboard),
    [Symbol.asyncDispose]: async () => {
      await Promise.all(workers.map((worker) => worker.close()))
    },
  }
}

async function byHand({ pool }: TestDatabase): Promise<Lending> {
  await pool.query(tablesSql)
  const stop = new AbortController()
  const workers = [1, 2].map(() => runDashboard(pool, stop.signal))
  return {
    publish: async (draft, seconds, fail) => {
      const client = await pool.connect()
      try {
        await client.query('BEGIN')
        await record(client, draft.definition.type, draft.payload as object)
        await client.query('SELECT pg_sleep($1)', [seconds])
        await client.query(fail ? 'ROLLBACK' : 'COMMIT')
      } finally {
        client.release()
      }
      if (fail) throw rolledBack
    },
    read: () => readDashboard(pool),
    [Symbol.asyncDispose]: async () => {
      stop.abort()
      await Promise.all(workers)
    },
  }
}

/** Proposals, of which every other is declined or activated; some transactions are slow, and some roll back. */
async function business(lending: Lending): Promise<Dashboard> {
  const expected = { pending: 0, declined: 0, active: 0, disbursed: 0n }
  const publishers = Array.from({ length: 4 }, async (_, publisher) => {
    for (let n = 0; n < 15; n++) {
      const facility = {
        facilityId: `${publisher}/${n}`,
        customerId: 'ada',
        amount: BigInt(publisher * 100 + n + 1),
      }
      const seconds = ((publisher + n) % 3) / 500
      const fail = (publisher + n) % 5 === 0
      const submitted = await lending
        .publish(proposalSubmitted({ ...facility, monthlyIncome: 1n }), seconds, fail)
        .then(() => true)
        .catch((error: unknown) => {
          if (error !== rolledBack) throw error
          return false
        })
      if (!submitted) continue
      expected.pending += 1
      if (n % 2 === 0) continue
      expected.pending -= 1
      if (n % 4 === 1) {
        await lending.publish(proposalDeclined({ ...facility, reason: 'no' }), seconds, false)
        expected.declined += 1
      } else {
        const activatedAt = new Date(0)
        await lending.publish(facilityActivated({ ...facility, activatedAt }), seconds, false)
        expected.active += 1
        expected.disbursed += facility.amount
      }
    }
  })
  await Promise.all(publishers)
  // One that has begun long before others commit: whoever reads on behind those misses it.
  const late = { facilityId: 'late', customerId: 'ada', amount: 1n, monthlyIncome: 1n }
  const slow = lending.publish(proposalSubmitted(late), 1, false)
  await delay(100)
  await lending.publish(proposalSubmitted({ ...late, facilityId: 'quick' }), 0, false)
  await slow
  expected.pending += 2
  return expected
}

test.for([
  ['with Tidemark', () => withTidemark(database.url)],
  ['by hand', () => byHand(database)],
] as const)(
  'the dashboard %s counts every committed event once, with two workers, late commits and rollbacks',
  async ([, open]) => {
    await using lending = await open()
    const expected = await business(lending)
    await vi.waitFor(async () => expect(await lending.read()).toEqual(expected), 20_000)
  },
)

/** Lines with code on them. */
async function linesOf(file: string): Promise<number> {
  const source = await readFile(new URL(file, import.meta.url), 'utf8')
  const code = source.replaceAll(/\/\*[^]*?\*\//gu, '').split('\n')
  return code.filter((line) => line.trim() !== '' && !line.trim().startsWith('//')).length
}

test('the dashboard takes less than half the lines that it takes by hand', async () => {
  const lines = {
    tidemark: await linesOf('../src/dashboard/dashboard.ts'),
    byHand: await linesOf('../by-hand/dashboard.ts'),
  }
  console.log(`the dashboard: ${lines.tidemark} lines with Tidemark, ${lines.byHand} by hand`)
  expect(lines.tidemark).toBeLessThanOrEqual(lines.byHand / 2)
})

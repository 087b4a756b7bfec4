import { defineApp, defineEvent } from 'tidemark'
import { expect, test } from 'vitest'
import { z } from 'zod'
import { FaultyWire } from '../harness/faults/faulty-wire.ts'
import { useFreshDatabase } from '../support/fresh-database.ts'

const noted = defineEvent('closing.noted', { payload: z.object({ n: z.number() }) })
const database = useFreshDatabase()

function appAt(connectionString: string) {
  return defineApp({
    modules: [noted],
    connectionString,
    maxConnections: 8,
    connection: { application_name: 'closing' },
  })
}

async function useConnections(app: ReturnType<typeof appAt>): Promise<void> {
  const transactions = Array.from({ length: 8 }, (_, n) =>
    app.transaction(async (tx) => {
      await tx.query('select pg_sleep(0.01)')
      tx.publish(noted({ n }))
    }),
  )
  await Promise.all(transactions)
}

test('no connection is left when an application has closed', async () => {
  for (let round = 0; round < 20; round++) {
    const app = appAt(database.url)
    await useConnections(app)
    await app.close()
    const { rows } = await database.query(
      `select pid, state, query from pg_stat_activity
       where datname = current_database() and application_name = 'closing'`,
    )
    expect(rows).toEqual([])
  }
})

test('an application closes although its server has vanished', async () => {
  await using wire = await FaultyWire.open(database.url)
  const app = appAt(wire.url)
  await useConnections(app)
  expect(wire.loseConnections(() => true)).toBeGreaterThan(0)
  await app.close()
})

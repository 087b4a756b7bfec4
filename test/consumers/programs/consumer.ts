import { createJobApi } from '@tidemark/http'
import { Kysely } from 'kysely'
import pg from 'pg'
import {
  defineApp,
  defineEvent,
  defineJob,
  defineListener,
  defineProjection,
  migrateUp,
} from 'tidemark'
import { fromDrizzle } from 'tidemark/drizzle'
import { bindKysely } from 'tidemark/kysely'
import { z } from 'zod'

interface Tables {
  accounts: { id: string }
}

declare module 'tidemark' {
  interface Register {
    db: Kysely<Tables>
  }
}

const connectionString = process.env['DATABASE_URL'] ?? ''
await migrateUp({ connectionString })
const pool = new pg.Pool({ connectionString, max: 8 })
await pool.query('create table if not exists accounts (id text primary key)')

const opened = defineEvent('accounts.opened', { payload: z.object({ cents: z.bigint() }) })
const seen: bigint[] = []
const listener = defineListener('seen').on(opened, async (event, { db }) => {
  await db
    .insertInto('accounts')
    .values({ id: String(event.sequence) })
    .execute()
  seen.push(event.payload.cents)
})
const total = defineProjection('total', { version: 1, initial: () => 0n }).on(
  opened,
  (sum, event) => sum + event.payload.cents,
)
const double = defineJob('double', {
  input: z.number(),
  output: z.number(),
  run: async ({ input }) => input * 2,
})
const tidemark = defineApp({
  pool,
  modules: [opened, listener, total, double],
  // The application's own Kysely is the one that handlers get.
  db: bindKysely((dialect) => new Kysely<Tables>({ dialect })),
})
const runner = await tidemark.start({ handleSignals: false, sharePool: true })
const client = await pool.connect()
await client.query('begin')
const { sequence } = await tidemark.publish(opened({ cents: 2n ** 65n }), { tx: client })
await client.query('commit')
client.release()
await tidemark.waitFor([listener, total], sequence, { timeout: '30s' })
const output: number = await (await tidemark.jobs.spawn(double, 21)).result({ timeout: '30s' })
const used = [fromDrizzle, createJobApi].map((one) => typeof one)
if (used.includes('undefined')) throw new Error('an export is missing')
console.log(
  JSON.stringify({ seen: seen.map(String), total: String(await tidemark.read(total)), output }),
)
await runner.stop()
await tidemark.close()
await pool.end()

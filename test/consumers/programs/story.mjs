/** What a first program does: migrate, publish, handle, project, run a job. */
export async function run(
  { defineApp, defineEvent, defineJob, defineListener, defineProjection, migrateUp },
  { z },
) {
  const connectionString = process.env.DATABASE_URL
  await migrateUp({ connectionString })
  const opened = defineEvent('accounts.opened', {
    payload: z.object({ cents: z.bigint(), at: z.date() }),
  })
  const seen = []
  const listener = defineListener('seen').on(opened, async (event, { db }) => {
    await db.selectFrom('tidemark.events').select('sequence').execute()
    seen.push(event.payload.cents)
  })
  const total = defineProjection('total', { version: 1, initial: () => 0n }).on(
    opened,
    (sum, event) => sum + event.payload.cents,
  )
  const job = defineJob('double', {
    input: z.number(),
    output: z.number(),
    run: async ({ input }) => input * 2,
  })
  const tidemark = defineApp({ connectionString, modules: [opened, listener, total, job] })
  const runner = await tidemark.start({ handleSignals: false })
  const { sequence } = await tidemark.publish(opened({ cents: 2n ** 65n, at: new Date() }))
  await tidemark.waitFor([listener, total], sequence, { timeout: '30s' })
  const output = await (await tidemark.jobs.spawn(job, 21)).result({ timeout: '30s' })
  console.log(
    JSON.stringify({ seen: seen.map(String), total: String(await tidemark.read(total)), output }),
  )
  await runner.stop()
  await tidemark.close()
}

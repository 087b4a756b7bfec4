import { startPostgres, createTestDatabase, drain, drainJobs, given } from '@tidemark/testing'
import { defineApp, defineEvent, defineListener, defineProjection, defineJob } from 'tidemark'
import { z } from 'zod'
await using s = await startPostgres()
const opened = defineEvent('a.opened', { payload: z.object({ id: z.string() }) })
const seen = defineListener('seen').on(opened, async (e, { tx }) => { await tx.query('select 1') })
const count = defineProjection('count', { version: 1, initial: () => 0 }).on(opened, (n) => n + 1)
const job = defineJob('greet', { input: z.string(), run: (job) => 'Hello ' + job.input })
const T = async (n, f) => { const b = performance.now(); const x = await f(); console.log(n, (performance.now() - b).toFixed(0)); return x }
for (let i = 0; i < 4; i++) {
  await using d = await createTestDatabase({ server: s })
  await using app = defineApp({ modules: [{ opened, seen, count, job }], connectionString: d.url })
  await T('publish', () => app.publish(opened({ id: 'x' })))
  await T('drain', () => drain(app))
  await app.publish(opened({ id: 'x' }))
  await T('drain again', () => drain(app))
  await T('drain idle', () => drain(app))
  await app.jobs.spawn(job, 'x')
  await T('drainJobs', () => drainJobs(app))
  await T('drainJobs idle', () => drainJobs(app))
  const r = await T('start', () => app.start({ handleSignals: false, acquireInterval: 20, doorbell: { enabled: false } }))
  await T('stop', () => r.stop())
  const r2 = await T('start', () => app.start({ handleSignals: false }))
  await T('stop', () => r2.stop())
}

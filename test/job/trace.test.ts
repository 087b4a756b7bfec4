import { useTestDatabase } from '@tidemark/testing/vitest'
import { defineEvent, defineJob, defineListener, type JobTraceNode } from 'tidemark'
import { expect, test } from 'vitest'
import { z } from 'zod'
import { appOn } from '../support/test-app.ts'

const database = useTestDatabase()
const subject = z.object({ order: z.string() })

const placed = defineEvent('orders.placed', { payload: subject })
const charged = defineEvent('orders.charged', { payload: subject })
const closed = defineEvent('orders.closed', { payload: subject })

const tellCustomer = defineJob('tell_customer', { input: subject, run: () => {} })
const fulfil = defineJob('fulfil', {
  input: subject,
  run: async (job, ctx) => {
    await ctx.transaction(async (tx) => tx.publish(charged(job.input)), { step: 'charge' })
    await ctx.step('pack', () => 'packed')
    await ctx.transaction(async (tx) => {
      tx.publish(closed(job.input), { metadata: { till: 4 } })
      await tx.spawn(tellCustomer, job.input)
    })
  },
})
const orders = defineListener('orders').on(placed, async (event, { spawn }) => {
  await spawn(fulfil, event.payload)
})

/** The names of a tree, moved to the right by their depth. */
function drawn(nodes: readonly Pick<JobTraceNode, 'depth' | 'kind' | 'name'>[]): string[] {
  return nodes.map(({ depth, kind, name }) => `${'  '.repeat(depth)}${kind} ${name}`)
}

test('the chain from event to job to step to event is a tree, the same from wherever in it one asks', async () => {
  await using app = appOn(database, [placed, charged, closed, orders, fulfil, tellCustomer])
  await app.start()
  await app.publish(placed({ order: 'other' }))
  const { id: root } = await app.publish(placed({ order: 'o-1' }))
  const { rows } = await database.query<{ id: string }>(
    `select id from tidemark.events where id = $1`,
    [root],
  )
  expect(rows).toHaveLength(1)
  await expect
    .poll(
      async () => (await app.jobs.list({ name: 'tell_customer', status: 'completed' })).length,
      { timeout: 20_000 },
    )
    .toBe(2)
  const jobs = await app.jobs.list({ name: 'fulfil' })
  const id = jobs.find(({ causationId }) => causationId === root)?.id ?? ''
  await app.jobs.handle(id).result()
  const nodes = await app.jobs.trace(id)
  expect(drawn(nodes)).toEqual([
    'event orders.placed',
    '  job fulfil',
    '    step charge',
    '      event orders.charged',
    '    step pack',
    '    job tell_customer',
    '    event orders.closed',
  ])
  expect(nodes[0]).toMatchObject({ id: root, cause: null, status: 'published' })
  expect(nodes[1]).toMatchObject({ id, cause: root, status: 'completed' })
  const [child] = await app.jobs.list({ parent: id })
  expect(await app.jobs.trace(child?.id ?? '')).toEqual(nodes)
  const inSql = await database.query<JobTraceNode>('select * from tidemark.job_trace($1)', [id])
  expect(drawn(inSql.rows)).toEqual(drawn(nodes))
  // What is published beside a step is not marked, and what the publisher says of it stays.
  const marks = await database.query(
    `select type, metadata from tidemark.events where causation_id = $1 order by sequence`,
    [id],
  )
  expect(marks.rows).toEqual([
    { type: 'orders.charged', metadata: { 'tidemark.step': 'charge' } },
    { type: 'orders.closed', metadata: { till: 4 } },
  ])
})

test('a job that nothing caused is the root of what it causes', async () => {
  await using app = appOn(database, [charged, closed, fulfil, tellCustomer])
  await app.start()
  const handle = await app.jobs.spawn(fulfil, { order: 'o-2' })
  await handle.result()
  expect(drawn(await app.jobs.trace(handle.id)).slice(0, 3)).toEqual([
    'job fulfil',
    '  step charge',
    '    event orders.charged',
  ])
  const nobody = '0198c0de-0000-7000-8000-000000000000'
  await expect(app.jobs.trace(nobody)).rejects.toMatchObject({ code: 'TIDEMARK_UNKNOWN_JOB' })
})

test('sequence_at bounds a reading by time, with gaps in the sequences', async () => {
  await database.query(`delete from tidemark.events`)
  await database.query(`insert into tidemark.events (sequence, xid, type, payload, recorded_at)
    select n * 7, '1', 'tick', '0', timestamptz '2026-01-01' + n * interval '1 s' from generate_series(1, 500) as n`)
  const { rows } = await database.query<{ wrong: number }>(
    `select count(*)::integer as wrong from generate_series(0, 501) as n,
       lateral (select tidemark.sequence_at(timestamptz '2026-01-01' + n * interval '1 s') as bound) as b
     where exists (select from tidemark.events where sequence < bound
                   and recorded_at >= timestamptz '2026-01-01' + n * interval '1 s')
        or exists (select from tidemark.events where sequence >= bound
                   and recorded_at < timestamptz '2026-01-01' + n * interval '1 s')`,
  )
  expect(rows[0]?.wrong).toBe(0)
})

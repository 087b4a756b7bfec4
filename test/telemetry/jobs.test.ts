import { ROOT_CONTEXT, SpanKind, SpanStatusCode, context, trace } from '@opentelemetry/api'
import { defineJob, defineListener } from 'tidemark'
import { expect, test } from 'vitest'
import { z } from 'zod'
import { noted } from '../support/effects.ts'
import { useFreshDatabase } from '../support/fresh-database.ts'
import { until } from '../support/jobs.ts'
import { LogBook } from '../support/log-book.ts'
import { appOn } from '../support/test-app.ts'
import { Sdk } from './sdk.ts'

const database = useFreshDatabase()
const quiet = { handleSignals: false }

const deliver = defineJob('deliver', {
  input: z.object({ to: z.string() }),
  retry: { attempts: 3, backoff: () => 1 },
  run: async (job, ctx) => {
    await ctx.step('address', () => 'somewhere')
    await ctx.transaction(async (tx) => tx.publish(noted({ note: 'delivered' })), { step: 'post' })
    if (job.attempt === 1) throw new RangeError('as told')
  },
})

test('spawning is a producer span of its caller; each attempt a consumer span linked to it, with its steps inside', async () => {
  await using sdk = new Sdk()
  await using app = appOn(database, [deliver, noted], { logger: new LogBook() })
  await app.start(quiet)
  const caller = trace.getTracer('test').startSpan('request')
  const handle = await context.with(trace.setSpan(ROOT_CONTEXT, caller), () =>
    app.jobs.spawn(deliver, { to: 'ada' }),
  )
  caller.end()
  await handle.result()
  const spawn = await sdk.spanNamed('spawn deliver')
  expect(spawn.kind).toBe(SpanKind.PRODUCER)
  expect(spawn.parentSpanContext?.spanId).toBe(caller.spanContext().spanId)
  expect(spawn.attributes['messaging.message.id']).toBe(handle.id)
  const { rows } = await database.query('select traceparent from tidemark.jobs')
  const { traceId, spanId } = spawn.spanContext()
  expect(rows).toEqual([{ traceparent: `00-${traceId}-${spanId}-01` }])

  const [failed, completed] = await sdk.spansNamed('job deliver', 2)
  for (const span of [failed, completed]) {
    expect(span?.kind).toBe(SpanKind.CONSUMER)
    expect(span?.parentSpanContext).toBeUndefined()
    expect(span?.links.map((link) => link.context.spanId)).toEqual([spanId])
  }
  expect(failed?.status.code).toBe(SpanStatusCode.ERROR)
  expect(failed?.attributes).toMatchObject({
    'tidemark.job.name': 'deliver',
    'tidemark.job.outcome': 'retried',
    'tidemark.attempt': 1,
    'error.type': 'RangeError',
  })
  expect(completed?.attributes).toMatchObject({
    'tidemark.job.outcome': 'completed',
    'tidemark.attempt': 2,
  })
  // The second attempt passes the steps.
  const steps = ['step address', 'step post'].map((name) =>
    sdk.spans.filter((span) => span.name === name),
  )
  expect(steps.map((spans) => spans.map((span) => span.parentSpanContext?.spanId))).toEqual(
    [0, 1].map(() => [failed?.spanContext().spanId]),
  )
  // What a step publishes carries the step's context.
  const events = await database.query<{ traceparent: string }>(
    'select traceparent from tidemark.events',
  )
  expect(events.rows[0]?.traceparent).toContain(steps[1]?.[0]?.spanContext().spanId)
})

test('a job that a listener spawns is linked to the batch that spawned it', async () => {
  await using sdk = new Sdk()
  const listener = defineListener('mail')
    .on(noted)
    .spawn(deliver, () => ({ to: 'ada' }), { when: ({ payload }) => payload.note === 'one' })
  await using app = appOn(database, [listener], { logger: new LogBook() })
  await app.publish(noted({ note: 'one' }))
  await app.start(quiet)
  const batch = await sdk.spanNamed('process mail')
  const [attempt] = await sdk.spansNamed('job deliver', 2)
  expect(attempt?.links.map((link) => link.context.spanId)).toEqual([batch.spanContext().spanId])
})

test('transactional jobs have a span each, and one that fails alone says so alone', async () => {
  await using sdk = new Sdk()
  const post = defineJob('post', {
    input: z.number(),
    retry: { attempts: 1 },
    transact: async (job, { tx }) => {
      await tx.query('select 1')
      if (job.input === 2) throw new TypeError('not two')
    },
  })
  await using app = appOn(database, [post], { logger: new LogBook() })
  await app.transaction(async ({ spawn }) => {
    for (const n of [1, 2, 3]) await spawn(post, n)
  })
  await app.start(quiet)
  const spans = await sdk.spansNamed('job post', 3)
  expect(spans.map((span) => String(span.attributes['tidemark.job.outcome'])).toSorted()).toEqual([
    'completed',
    'completed',
    'failed',
  ])
})

test('claim latency, durations and retries are measured; jobs are shown by where they stand', async () => {
  await using sdk = new Sdk()
  await using app = appOn(database, [deliver, noted], { logger: new LogBook() })
  await app.jobs.spawn(deliver, { to: 'later' }, { delay: '1h' })
  const paused = await app.jobs.spawn(deliver, { to: 'never' }, { delay: '1h' })
  await app.jobs.pause(paused.id)
  await app.start(quiet)
  const handle = await app.jobs.spawn(deliver, { to: 'ada' })
  await handle.result()
  const owner = { 'tidemark.job.name': 'deliver', 'tidemark.schema': 'tidemark' }
  expect(await sdk.valueOf('tidemark.job.claim.latency', owner)).toBe(2)
  const outcome = (of: string): Record<string, string> => ({ ...owner, 'tidemark.job.outcome': of })
  expect(await sdk.valueOf('tidemark.job.duration', outcome('completed'))).toBe(1)
  expect(await sdk.valueOf('tidemark.job.duration', outcome('retried'))).toBe(1)
  expect(await sdk.valueOf('tidemark.job.retries', { ...owner, 'error.type': 'RangeError' })).toBe(
    1,
  )
  const shown = async (status: string) =>
    sdk.valueOf('tidemark.jobs', { 'tidemark.job.status': status })
  expect(await shown('scheduled')).toBe(1)
  expect(await shown('paused')).toBe(1)
  expect(await shown('failed')).toBe(0)
})

test('jobs that are taken from a dead process are counted', async () => {
  await using sdk = new Sdk()
  await using app = appOn(database, [deliver, noted], { logger: new LogBook() })
  const handle = await app.jobs.spawn(deliver, { to: 'ada' })
  await database.query(
    `select * from tidemark.claim_jobs(gen_random_uuid(), 'default', '{deliver}', 1)`,
  )
  await app.start({ ...quiet, leaseDuration: 1_000 })
  await until(database, `select count(*)::int from tidemark.job_attempts where outcome = 'lost'`, 1)
  await handle.result()
  expect(await sdk.valueOf('tidemark.job.rescued')).toBe(1)
})

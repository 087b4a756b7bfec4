import { SpanKind, SpanStatusCode, trace } from '@opentelemetry/api'
import { defineEvent, runJob, unwrap, type Logger } from 'tidemark'
import { expect, test } from 'vitest'
import { z } from 'zod'
import { useFreshDatabase } from '../support/fresh-database.ts'
import { LogBook } from '../support/log-book.ts'
import { appOn } from '../support/test-app.ts'
import { Sdk } from '../telemetry/sdk.ts'

const database = useFreshDatabase()
const noted = defineEvent('run.noted', { payload: z.object({}) })

test('a function that is run as a job answers how it went, and logs it', async () => {
  const book = new LogBook()
  await using app = appOn(database, [noted], { logger: book })
  const good = await app.jobs.run('sums', () => 42, { triggeredBy: 'ada', fields: { of: 'day' } })
  expect(good).toEqual({
    id: expect.any(String),
    name: 'sums',
    triggeredBy: 'ada',
    ok: true,
    status: 'succeeded',
    output: 42,
    startedAt: expect.any(Date),
    finishedAt: expect.any(Date),
    duration: expect.any(Number),
  })
  const bad = await app.jobs.run('sums', () => {
    throw new RangeError('too much')
  })
  expect(bad).toMatchObject({
    ok: false,
    status: 'failed',
    error: new RangeError('too much'),
    description: { message: 'too much' },
  })
  const lines = book.entries.map(({ level, message, fields }) => [level, message, fields['of']])
  expect(lines).toEqual([
    ['info', 'sums started', 'day'],
    ['info', 'sums succeeded', 'day'],
    ['info', 'sums started', undefined],
    ['error', 'sums failed', undefined],
  ])
  expect(book.entries[1]?.fields).toMatchObject({ job: good.id, duration: expect.any(Number) })
})

test('unwrapping answers the output, or throws with what was thrown as the cause', async () => {
  expect(unwrap(await runJob('sums', () => 42))).toBe(42)
  const failed = await runJob('sums', () => Promise.reject(new RangeError('too much')), {
    logger: new LogBook(),
  })
  expect(() => unwrap(failed)).toThrow(
    expect.objectContaining({ code: 'TIDEMARK_JOB_FAILED', cause: new RangeError('too much') }),
  )
})

test('a run has a span of its own, in the trace of whoever runs it', async () => {
  await using sdk = new Sdk()
  await using app = appOn(database, [noted])
  let published = ''
  const good = await app.jobs.run('sums', async () => {
    published = (await app.publish(noted({}))).id
    return trace.getActiveSpan()?.spanContext().spanId
  })
  const [span] = await sdk.spansNamed('run sums')
  expect(span?.kind).toBe(SpanKind.INTERNAL)
  expect(span?.spanContext().spanId).toBe(unwrap(good))
  expect(span?.attributes).toEqual({
    'messaging.message.id': good.id,
    'tidemark.job.name': 'sums',
    'tidemark.job.outcome': 'completed',
  })
  const publish = await sdk.spanNamed('publish run.noted')
  expect(publish.parentSpanContext?.spanId).toBe(unwrap(good))
  expect(published).not.toBe('')
})

test.each([new RangeError('too much'), undefined, 'a text', null])(
  'a run that throws %s has failed, and so has its span',
  async (thrown) => {
    await using sdk = new Sdk()
    const result = await runJob(
      'sums',
      () => {
        throw thrown
      },
      { logger: new LogBook() },
    )
    expect(result).toMatchObject({ status: 'failed', error: thrown })
    const span = await sdk.spanNamed('run sums')
    expect(span.status.code).toBe(SpanStatusCode.ERROR)
    expect(span.attributes['tidemark.job.outcome']).toBe('failed')
  },
)

test('a run never throws, whatever its logger, its function or its fields do', async () => {
  const refuse = (): never => {
    throw new Error('refused')
  }
  const logger: Logger = { debug: refuse, info: refuse, warn: refuse, error: refuse }
  const fields = {
    get secret() {
      return refuse()
    },
  }
  const result = await runJob('sums', () => 42, { logger, fields })
  expect(result).toMatchObject({ status: 'succeeded', output: 42 })
  const nothing = undefined as unknown as () => number
  expect(await runJob('sums', nothing, { logger })).toMatchObject({ status: 'failed' })
})

test('what a run cannot be told by is refused before the function is called, by a promise', async () => {
  await using app = appOn(database, [])
  let calls = 0
  const work = (): number => (calls += 1)
  for (const name of ['', 'NUL \0', undefined, Symbol('name')]) {
    const refused = app.jobs.run(name as string, work)
    await expect(refused).rejects.toMatchObject({ code: 'TIDEMARK_INVALID_OPTION' })
  }
  const options = app.jobs.run('sums', work, null as never)
  await expect(options).rejects.toMatchObject({ code: 'TIDEMARK_INVALID_OPTION' })
  expect(calls).toBe(0)
})

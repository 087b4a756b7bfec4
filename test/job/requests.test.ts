import { defineJob } from 'tidemark'
import { beforeEach, expect, test } from 'vitest'
import { z } from 'zod'
import { createJobApi } from '../../packages/http/src/index.ts'
import { ApiClient } from '../http/client.ts'
import { useFreshDatabase } from '../support/fresh-database.ts'
import { Latch, untilStatus } from '../support/jobs.ts'
import { appOn } from '../support/test-app.ts'

const database = useFreshDatabase()
let latch: Latch
const ran: number[] = []
const report = defineJob('report', {
  input: z.object({ number: z.number() }),
  uniqueKey: () => 'one',
  run: async ({ input }) => {
    ran.push(input.number)
    await latch.pass()
  },
})

beforeEach(() => {
  latch = new Latch()
  ran.length = 0
})

type Sent = Awaited<ReturnType<ApiClient['send']>>

/** A client that asks for `number` under a key. */
function sender(app: ReturnType<typeof appOn>) {
  const api = new ApiClient(createJobApi(app, { basePath: '/api' }), 'http://localhost/api')
  return (number: number, key: string | null, more: object = {}): Promise<Sent> =>
    api.send(
      'POST',
      '/types/report/jobs',
      { input: { number }, onDuplicate: 'replace', ...more },
      key === null ? {} : { 'idempotency-key': key },
    )
}

test('a request that is repeated does not undo what another one has asked for since', async () => {
  await using app = appOn(database, [report])
  const send = sender(app)
  const { id } = await app.jobs.spawn(report, { number: 0 })
  const second = await send(2, 'second')
  expect(second.body).toEqual({ id, duplicate: true, outcome: 'replaced' })
  await send(3, 'third')
  expect((await send(2, 'second')).body).toEqual({ id, duplicate: true, outcome: 'kept' })
  expect((await app.jobs.get(id)).input).toEqual({ number: 3 })
  expect((await send(4, 'second')).body).toMatchObject({ code: 'TIDEMARK_REQUEST_CHANGED' })
  expect((await app.jobs.get(id)).input).toEqual({ number: 3 })
})

test.for([{ onDuplicate: 'keep' }, {}, { onDuplicate: undefined, throttle: '0s' }])(
  'a request that came to the job of another is not one of its own when that has finished: %j',
  async (more) => {
    await using app = appOn(database, [report])
    const send = sender(app)
    latch.open()
    const { id } = await app.jobs.spawn(report, { number: 0 })
    expect((await send(1, 'k', more)).body).toMatchObject({ id })
    await using _ = await app.start()
    await app.jobs.handle(id).result()
    expect((await send(1, 'k', more)).body).toEqual({ id, duplicate: true, outcome: 'kept' })
    expect(await app.jobs.list()).toHaveLength(1)
    await app.jobs.delete(id)
    const anew = await send(1, 'k', more)
    expect(anew.body).toMatchObject({ outcome: 'spawned' })
    await app.jobs.handle(anew.body['id'] as string).result()
  },
)

test('a request whose job follows another is one job however often it is sent', async () => {
  await using app = appOn(database, [report])
  const send = sender(app)
  const first = await app.jobs.spawn(report, { number: 0 })
  await using _ = await app.start()
  await latch.reached
  const one = await send(1, 'one')
  const two = await send(2, 'two')
  expect([one.body, two.body]).toMatchObject([{ outcome: 'follows' }, { outcome: 'follows' }])
  // The one that came last has the say, whoever asks again.
  for (const again of [await send(1, 'one'), await send(2, 'two')]) {
    expect(again.body).toEqual({ id: one.body['id'], duplicate: true, outcome: 'kept' })
  }
  latch.open()
  await first.result()
  await app.jobs.handle(one.body['id'] as string).result()
  expect(ran).toEqual([0, 2])
})

test('the same request many times at once is done once', async () => {
  await using app = appOn(database, [report])
  await using other = appOn(database, [report])
  for (const there of [true, false]) {
    const key = `at once ${there}`
    if (there) await app.jobs.spawn(report, { number: 0 })
    const sends = [sender(app), sender(other)]
    const answers = await Promise.all(
      Array.from({ length: 12 }, async (_, index) => sends[index % 2]?.(7, key)),
    )
    const ids = new Set(answers.map((answer) => answer?.body['id']))
    expect([...ids]).toHaveLength(1)
    const done = answers.filter((answer) => answer?.body['outcome'] !== 'kept')
    expect(done.map((answer) => answer?.body['outcome'])).toEqual([there ? 'replaced' : 'spawned'])
    await app.jobs.cancel([...ids][0] as string)
    expect((await sends[0]?.(7, key))?.body).toMatchObject({ id: [...ids][0], outcome: 'kept' })
  }
})

test('a request of a transaction that is rolled back can be made again', async () => {
  await using app = appOn(database, [report])
  const { id } = await app.jobs.spawn(report, { number: 0 })
  const options = {
    id: '00000000-0000-4000-8000-000000000001',
    request: 'a',
    onDuplicate: 'replace',
  } as const
  const undone = app.transaction(async ({ spawn }) => {
    expect(await spawn(report, { number: 1 }, options)).toMatchObject({ id, outcome: 'replaced' })
    throw new Error('as told')
  })
  await expect(undone).rejects.toThrow('as told')
  expect((await app.jobs.get(id)).input).toEqual({ number: 0 })
  // One that is refused leaves the transaction as it is.
  await app.transaction(async ({ spawn }) => {
    const refused = spawn(report, { number: 1 }, { ...options, onDuplicate: 'fail' })
    await expect(refused).rejects.toMatchObject({ code: 'TIDEMARK_DUPLICATE_JOB' })
    expect(await spawn(report, { number: 2 }, options)).toMatchObject({ id, outcome: 'replaced' })
  })
  expect(await app.jobs.spawn(report, { number: 2 }, options)).toMatchObject({
    id,
    outcome: 'kept',
  })
  expect((await app.jobs.get(id)).input).toEqual({ number: 2 })
})

test('a job that has been replaced by a request is itself one that can be asked for again', async () => {
  await using app = appOn(database, [report])
  const send = sender(app)
  const first = await send(1, 'first')
  await send(2, 'second')
  expect((await send(1, 'first')).body).toEqual({
    id: first.body['id'],
    duplicate: true,
    outcome: 'kept',
  })
  await using _ = await app.start()
  await latch.reached
  expect(ran).toEqual([2])
  latch.open()
  await untilStatus(database, first.body['id'] as string, 'completed')
})

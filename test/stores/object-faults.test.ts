import { s3 } from '@tidemark/stores/context'
import { s3Store } from '@tidemark/stores/s3'
import { expect, onTestFinished, test, vi } from 'vitest'
import { testAgainstMemory } from './against-memory.ts'
import { eachRequest } from './each-request.ts'
import { FakeBucket } from './fake-bucket.ts'
import { answered, networkFaults, type Fault } from './faults.ts'

const url = 'http://localhost:1/states'
const told = (status: number, code: string): Fault =>
  answered(status, `<Error><Code>${code}</Code></Error>`)

const faults: Readonly<Record<string, Fault>> = {
  ...networkFaults,
  'it is answered 500': told(500, 'InternalError'),
  'it happens, and is answered 500': async (done) => {
    await done()
    return told(500, 'InternalError')(done)
  },
  'it is answered 503': told(503, 'SlowDown'),
  'it is answered 429': told(429, 'TooManyRequests'),
  'it came too slowly': told(400, 'RequestTimeout'),
}
// Only what is written under a condition is answered so.
const refusals: Readonly<Record<string, Fault>> = {
  'it is answered 409': told(409, 'ConditionalRequestConflict'),
  'it happens, and is answered 412': async (done) => {
    await done()
    return told(412, 'PreconditionFailed')(done)
  },
}

for (const [what, fault] of Object.entries({ ...faults, ...refusals })) {
  test(`whichever request it is of which ${what}, each write happens once, and what is read is right`, async () => {
    const most = await eachRequest((broken) => {
      const client = new FakeBucket()
      client.fault = (request, conditional) =>
        request === broken && (conditional || what in faults) ? fault : undefined
      return { store: s3Store({ client, bucket: url }), requests: () => client.requests }
    })
    expect(most).toBeGreaterThan(15)
  })
}

testAgainstMemory((_, options) => s3Store({ ...options, client: new FakeBucket(), bucket: url }))

test('a sweep that is turned away leaves nothing behind that the next one does not find', async () => {
  for (let broken = 0, most = Infinity; broken < most; broken += 1) {
    const client = new FakeBucket()
    await using store = s3Store({ client, bucket: url, remember: 0 })
    await store.put('a', { value: 1 })
    await store.delete('a')
    const before = client.requests
    client.fault = (request) => (request === before + broken ? told(503, 'SlowDown') : undefined)
    await store.sweep()
    most = client.requests - before
    client.fault = () => undefined
    await store.sweep()
    expect([...client.objects.keys()]).toEqual([])
  }
})

test('a bucket that is not there is said at once, and not asked for again and again', async () => {
  let requests = 0
  const client = {
    fetch: async (_: string, { method }: RequestInit) => {
      requests += 1
      const text = method === 'HEAD' ? null : '<Error><Code>NoSuchBucket</Code></Error>'
      return new Response(text, { status: 404 })
    },
  }
  const contexts = s3({ client, bucket: url })
  const signal = AbortSignal.timeout(60_000)
  await expect(
    contexts.put('jobs/a/definition.json', '{}', { version: 1, sha256: 'none', signal }),
  ).rejects.toThrow('NoSuchBucket')
  await using store = s3Store({ client, bucket: url, timeout: 60_000 })
  await expect(store.put('a', { value: 1 })).rejects.toMatchObject({
    code: 'TIDEMARK_STORE_UNAVAILABLE',
    message: expect.stringContaining('NoSuchBucket') as unknown,
  })
  expect(requests).toBeLessThan(10)
})

test('a state that is deleted and put again is listed, by a clock that was set back, too', async () => {
  const client = new FakeBucket()
  await using store = s3Store({ client, bucket: url })
  const clock = vi.spyOn(Date, 'now')
  onTestFinished(() => clock.mockRestore())
  for (const now of [1_800_000_000_000, 1_700_000_000_000]) {
    clock.mockReturnValue(now)
    await store.put('a', { value: now })
    expect((await store.list()).states.map(({ value }) => value)).toEqual([now])
    await store.delete('a')
    // In the same millisecond.
    await store.put('a', { value: 'again' })
    expect((await store.list()).states.map(({ value }) => value)).toEqual(['again'])
  }
})

test('what others have put among the objects of a store is named, and costs no list', async () => {
  const client = new FakeBucket()
  await using store = s3Store({ client, bucket: url, timeout: 60_000 })
  await store.create('mine', { value: 1 })
  const mine = client.objects.get('tidemark/states/mine') as string
  for (const [key, text] of [
    ['junk', '<html>'],
    ['empty', ''],
    ['list', '[]'],
    ['null', 'null'],
    ['another', mine],
  ] as const) {
    client.objects.set(`tidemark/states/${key}`, text)
    const unreadable = { code: 'TIDEMARK_STATE_UNREADABLE' }
    await expect(store.get(key)).rejects.toMatchObject(unreadable)
    await expect(store.put(key, { value: 2 })).rejects.toMatchObject(unreadable)
    expect(client.objects.get(`tidemark/states/${key}`)).toBe(text)
  }
  const skipping = { onUnreadable: 'skip' } as const
  const found = await store.getMany(['junk', 'mine', 'empty', 'null', 'none'], skipping)
  expect(found.map((state) => state?.value)).toEqual([
    undefined,
    1,
    undefined,
    undefined,
    undefined,
  ])
  expect(await store.sync([{ key: 'mine', version: 1 }, { key: 'junk' }])).toMatchObject({
    missing: ['junk'],
    extra: [],
  })
  for (const name of ['', '0', 'README', '000000000000000/%zz', '000000000000000/a/b', 'x/y']) {
    client.objects.set(`tidemark/created/${name}`, '')
    client.objects.set(`tidemark/ending/${name}`, '')
  }
  expect((await store.list({ limit: 1 })).states.map(({ key }) => key)).toEqual(['mine'])
  await using forgetful = s3Store({ client, bucket: url, remember: 0 })
  await forgetful.delete('mine')
  expect(await store.sweep()).toBe(1)
  expect((await store.list()).states).toEqual([])
})

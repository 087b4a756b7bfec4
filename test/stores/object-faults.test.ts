import { s3Store } from '@tidemark/stores/s3'
import { expect, onTestFinished, test, vi } from 'vitest'
import { FakeBucket, type Fault } from './fake-bucket.ts'

const url = 'http://localhost:1/states'
const answered =
  (status: number, code: string): Fault =>
  async () =>
    new Response(`<Error><Code>${code}</Code></Error>`, { status })
const gone: Fault = async () => {
  throw new TypeError('fetch failed')
}

const faults: Readonly<Record<string, Fault>> = {
  'the connection is refused': gone,
  'its answer is lost': async (done) => {
    await done()
    return gone(done)
  },
  'it is answered 500': answered(500, 'InternalError'),
  'it happens, and is answered 500': async (done) => {
    await done()
    return answered(500, 'InternalError')(done)
  },
  'it is answered 503': answered(503, 'SlowDown'),
  'it is answered 429': answered(429, 'TooManyRequests'),
  'its answer breaks off': async (done) => {
    const text = await (await done()).text()
    const half = new ReadableStream({
      start: (controller) => {
        controller.enqueue(new TextEncoder().encode(text.slice(0, text.length / 2)))
        controller.error(new TypeError('terminated'))
      },
    })
    return new Response(half)
  },
}
// Only what is written under a condition is answered so.
const refusals: Readonly<Record<string, Fault>> = {
  'it is answered 409': answered(409, 'ConditionalRequestConflict'),
  'it happens, and is answered 412': async (done) => {
    await done()
    return answered(412, 'PreconditionFailed')(done)
  },
}

for (const [what, fault] of Object.entries({ ...faults, ...refusals })) {
  test(`whichever request it is of which ${what}, each write happens once, and what is read is right`, async () => {
    let requests = Infinity
    for (let broken = 0; broken < requests; broken += 1) {
      const client = new FakeBucket()
      client.fault = (request, conditional) =>
        request === broken && (conditional || what in faults) ? fault : undefined
      await using store = s3Store({ client, bucket: url })
      const created = await store.create('a', { value: 1, status: 'new' }, { token: 3n })
      const changed = await store.update('a', { value: 2, ttl: 60_000 }, { token: 4n })
      const { states } = await store.list({ status: 'new' })
      const deleted = await store.delete('a', { token: 4n })
      const put = await store.put('a', { value: 3 }, { token: 5n })
      expect([created.version, changed.version, deleted, put.version]).toEqual([1, 2, true, 4])
      expect(states.map(({ value, version }) => [value, version])).toEqual([[2, 2]])
      expect((await store.list()).states.map(({ value }) => value)).toEqual([3])
      await expect(store.put('a', { value: 0 }, { token: 4n })).rejects.toMatchObject({
        code: 'TIDEMARK_STATE_FENCED',
      })
      requests = client.requests
    }
    expect(requests).toBeGreaterThan(15)
  })
}

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

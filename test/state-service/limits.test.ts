import { once } from 'node:events'
import { openStore } from '@tidemark/stores'
import { MemoryBackend, memoryStore } from '@tidemark/stores/memory'
import { expect, test } from 'vitest'
import { RawClient } from './raw-client.ts'
import { heldStore, rawClient, serve } from './served.ts'

test('what a client asks for and never reads is not worked out', async () => {
  const backend = new MemoryBackend()
  const store = openStore(backend)
  await store.create('large', { value: 'x'.repeat(100_000) })
  let reads = 0
  const read = backend.read.bind(backend)
  backend.read = (keys) => {
    reads += 1
    return read(keys)
  }
  const service = await serve({ store })
  const deaf = await rawClient(service)
  deaf.socket.pause()
  const lines = `${JSON.stringify({ op: 'get', jobId: 'large' })}\n`.repeat(20_000)
  deaf.send(lines)
  // Others are served meanwhile, until nothing more happens for the deaf one.
  const other = await rawClient(service)
  let before = -1
  for (let same = 0; same < 20;) {
    same = reads === before ? same + 1 : 0
    before = reads
    expect(await other.ask({ op: 'health' })).toMatchObject({ success: true })
  }
  expect(reads).toBeGreaterThan(0)
  // A hundred kilobytes each: what was worked out fits the limits and the buffers of the socket.
  expect(reads).toBeLessThan(200)
  // It reads after all, and gets everything.
  deaf.socket.resume()
  for (let count = 0; count < 300; count += 1) {
    expect(await deaf.next()).toMatchObject({ success: true })
  }
})

test('no more requests are worked on at once than allowed; the rest waits and is answered', async () => {
  const backend = new MemoryBackend()
  const gate = Promise.withResolvers<void>()
  let [now, most] = [0, 0]
  backend.read = async (keys) => {
    now += 1
    most = Math.max(most, now)
    await gate.promise
    now -= 1
    return keys.map(() => undefined)
  }
  const raw = await rawClient(await serve({ store: openStore(backend), pipelined: 5 }))
  for (let index = 0; index < 50; index += 1) raw.send({ op: 'get', jobId: `job-${index}` })
  await expect.poll(() => now).toBe(5)
  gate.resolve()
  for (let count = 0; count < 50; count += 1) expect((await raw.next()).success).toBe(true)
  expect(most).toBe(5)
})

test('requests beyond the rate wait, and none is lost', async () => {
  const raw = await rawClient(await serve({ requestsPerSecond: 100 }))
  const begun = performance.now()
  for (let index = 0; index < 150; index += 1) raw.send({ op: 'health', requestId: index })
  for (let index = 0; index < 150; index += 1) expect((await raw.next()).requestId).toBe(index)
  // A hundred at once, and the other fifty at a hundred a second.
  expect(performance.now() - begun).toBeGreaterThan(450)
})

test('one client too many is told so, and has a place when another goes', async () => {
  const service = await serve({ clients: 1 })
  const first = await rawClient(service)
  await first.ask({ op: 'health' })
  const second = await rawClient(service)
  expect((await second.next()).error?.code).toBe('TIDEMARK_STORE_UNAVAILABLE')
  await expect(second.next()).rejects.toThrow('ended')
  first.socket.destroy()
  await expect.poll(() => service.clients).toBe(0)
  expect(await (await rawClient(service)).ask({ op: 'health' })).toMatchObject({ success: true })
})

test('a client that stops in the middle of a line is sent away, one that only waits is not', async () => {
  const service = await serve({ stallTimeout: 100 })
  const [patient, stalled] = [await rawClient(service), await rawClient(service)]
  stalled.send('{"op":"heal')
  await once(stalled.socket, 'close')
  expect(await patient.ask({ op: 'health' })).toMatchObject({ success: true })
})

test('a client that reads nothing is sent away', async () => {
  const store = memoryStore()
  await store.create('large', { value: 'x'.repeat(500_000) })
  const service = await serve({ store, stallTimeout: 100 })
  const deaf = await rawClient(service)
  deaf.socket.pause()
  for (let index = 0; index < 20; index += 1) deaf.send({ op: 'get', jobId: 'large' })
  await expect.poll(() => service.clients, { timeout: 20_000 }).toBe(0)
})

test('a stop answers what is under way, takes nothing new, and removes the socket', async () => {
  const { store, reached, letGo } = heldStore(() => true)
  const service = await serve({ store })
  const raw = await rawClient(service)
  raw.send({ op: 'put', jobId: 'a', requestId: 'under way' })
  await reached
  const stopped = service.stop()
  raw.send({ op: 'put', jobId: 'b', requestId: 'too late' })
  await expect(RawClient.connect(service.socket)).rejects.toThrow(/ENOENT|ECONNREFUSED/u)
  letGo()
  expect(await raw.next()).toMatchObject({ requestId: 'under way', success: true })
  await expect(raw.next()).rejects.toThrow('ended')
  await stopped
  expect(await store.get('b')).toBeUndefined()
})

test.for([{}, null, Promise.resolve(memoryStore())])(
  'what is no store is not served: %o',
  async (store) => {
    await expect(serve({ store: store as never })).rejects.toMatchObject({
      code: 'TIDEMARK_INVALID_OPTION',
    })
  },
)

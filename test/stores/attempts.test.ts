import { openStore } from '@tidemark/stores'
import { MemoryBackend } from '@tidemark/stores/memory'
import { expect, onTestFinished, test, vi } from 'vitest'

test('a backend that was away for long is asked again soon after it is back', async () => {
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout', 'Date'] })
  onTestFinished(() => void vi.useRealTimers())
  const backend = new MemoryBackend()
  const asked: number[] = []
  backend.isTransient = () => true
  backend.read = () => {
    asked.push(Date.now())
    return Promise.reject(new Error('away'))
  }
  const asking = openStore(backend, { timeout: 60_000 }).get('a')
  // It is looked at below.
  asking.catch(() => {})
  await vi.advanceTimersByTimeAsync(60_000)
  await expect(asking).rejects.toMatchObject({
    code: 'TIDEMARK_STORE_UNAVAILABLE',
    message: expect.stringContaining('away') as unknown,
  })
  const pauses = asked.slice(1).map((time, index) => time - (asked[index] ?? 0))
  expect(Math.max(...pauses)).toBeLessThanOrEqual(1_000)
  // And not so often that it is kept from coming back.
  expect(asked.length).toBeLessThan(300)
})

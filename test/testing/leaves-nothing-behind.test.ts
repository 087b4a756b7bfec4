import { once } from 'node:events'
import { createConnection } from 'node:net'
import { expect, test, vi } from 'vitest'
import { isRunning, ServerOwner } from './server-owner.ts'

/** Generous: on a busy machine a process can take a while to be noticed as gone. */
const patience = { timeout: 20_000, interval: 20 }

test.for(['SIGKILL', 'SIGTERM', 'SIGINT', 'SIGHUP'] as const)(
  'a server and its directory are gone after its parent was ended by %s',
  async (signal) => {
    await using owner = await ServerOwner.spawn('wait')
    const server = await owner.server()
    expect(await isRunning(server.pid)).toBe(true)
    expect(await owner.leftovers()).toHaveLength(1)

    await owner.end(signal)

    await vi.waitFor(async () => expect(await isRunning(server.pid)).toBe(false), patience)
    await vi.waitFor(async () => expect(await owner.leftovers()).toEqual([]), patience)
    await expect(connect(server.port)).rejects.toThrow('ECONNREFUSED')
  },
)

test.for(['exit', 'throw', 'return'] as const)(
  'a server and its directory are gone after its parent ended by itself: %s',
  async (ending) => {
    await using owner = await ServerOwner.spawn(ending)
    const server = await owner.server()
    const [code] = await owner.ended
    expect(code).toBe({ exit: 3, throw: 1, return: 0 }[ending])

    await vi.waitFor(async () => expect(await isRunning(server.pid)).toBe(false), patience)
    await vi.waitFor(async () => expect(await owner.leftovers()).toEqual([]), patience)
  },
)

test('a directory is gone after its parent was killed while it was being made', async () => {
  await using owner = await ServerOwner.spawn('wait')
  // Its directory is there, and its server is not: initdb is at work.
  await vi.waitFor(async () => expect(await owner.leftovers()).toHaveLength(1), patience)

  await owner.end('SIGKILL')

  await vi.waitFor(async () => expect(await owner.leftovers()).toEqual([]), patience)
})

async function connect(port: number): Promise<void> {
  const socket = createConnection({ port, host: '127.0.0.1' })
  try {
    await once(socket, 'connect')
  } finally {
    socket.destroy()
  }
}

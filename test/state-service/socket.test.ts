import { once } from 'node:events'
import { link, mkdtemp, readdir, rm, stat, writeFile } from 'node:fs/promises'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { memoryStore } from '@tidemark/stores/memory'
import { serveState } from '@tidemark/stores/service'
import { expect, onTestFinished, test } from 'vitest'
import { rawClient, serve, socketPath } from './served.ts'
import { ServiceProcess } from './service-process.ts'

test('only its user may use the socket, and nothing else is left in its folder', async () => {
  const before = process.umask(0)
  onTestFinished(() => void process.umask(before))
  const service = await serve()
  expect((await stat(service.socket)).mode & 0o777).toBe(0o600)
  expect(await readdir(dirname(service.socket))).toEqual(['state.sock'])
  await service.stop()
  expect(await readdir(dirname(service.socket))).toEqual([])
})

test('the socket of a killed service is taken over', async () => {
  const killed = new ServiceProcess({ socket: socketPath() })
  await killed.start()
  await killed.kill()
  expect((await stat(killed.socket)).isSocket()).toBe(true)
  const service = await serve({ socket: killed.socket })
  expect(await (await rawClient(service)).ask({ op: 'health' })).toMatchObject({ success: true })
  expect((await stat(killed.socket)).mode & 0o777).toBe(0o600)
})

test('the socket of a service that runs is not taken over', async () => {
  const first = await serve()
  await expect(serve({ socket: first.socket })).rejects.toMatchObject({
    code: 'TIDEMARK_STATE_SOCKET_UNUSABLE',
    message: expect.stringContaining('is served by another process') as string,
  })
  expect(await (await rawClient(first)).ask({ op: 'health' })).toMatchObject({ success: true })
})

test('of several that find a stale socket at once, one gets it', async () => {
  const socket = await staleSocket()
  const starts = await Promise.allSettled(
    Array.from({ length: 12 }, () => serveState({ store: memoryStore(), socket })),
  )
  const started = starts.flatMap((start) => (start.status === 'fulfilled' ? [start.value] : []))
  for (const service of started) onTestFinished(() => service.stop())
  expect(started).toHaveLength(1)
  for (const start of starts) {
    if (start.status === 'fulfilled') continue
    expect(start.reason).toMatchObject({ code: 'TIDEMARK_STATE_SOCKET_UNUSABLE' })
  }
  const raw = await rawClient({ socket })
  expect(await raw.ask({ op: 'health' })).toMatchObject({ success: true })
  expect(await readdir(dirname(socket))).toEqual(['state.sock'])
})

test('a service that stops leaves the socket of its successor alone', async () => {
  const first = await serve()
  await rm(first.socket)
  const second = await serve({ socket: first.socket })
  await first.stop()
  expect(await (await rawClient(second)).ask({ op: 'health' })).toMatchObject({ success: true })
})

test('a file that is no socket is not touched', async () => {
  const path = socketPath()
  await writeFile(path, 'precious')
  await expect(serve({ socket: path })).rejects.toMatchObject({
    code: 'TIDEMARK_STATE_SOCKET_UNUSABLE',
  })
  expect((await stat(path)).size).toBe(8)
})

test.for([
  ['in a folder that is not there', join('none', 'state.sock')],
  ['longer than an address can be', 'x'.repeat(101)],
  ['in a folder that is too deep', join('x'.repeat(80), 's')],
] as const)('a path %s is refused', async ([, path]) => {
  const folder = await mkdtemp(join(tmpdir(), 'tidemark-'))
  onTestFinished(() => rm(folder, { recursive: true }))
  await expect(serve({ socket: join(folder, path) })).rejects.toMatchObject({
    code: 'TIDEMARK_STATE_SOCKET_UNUSABLE',
  })
})

test('a server of another kind keeps its socket', async () => {
  const path = socketPath()
  const other = createServer()
  other.listen(path)
  await once(other, 'listening')
  onTestFinished(() => void other.close())
  await expect(serve({ socket: path })).rejects.toMatchObject({
    code: 'TIDEMARK_STATE_SOCKET_UNUSABLE',
  })
})

/** A socket that nobody listens on: of its two names, a server that closes takes only its own away. */
async function staleSocket(): Promise<string> {
  const path = socketPath()
  const server = createServer()
  server.listen(`${path}.own`)
  await once(server, 'listening')
  await link(`${path}.own`, path)
  server.close()
  await once(server, 'close')
  return path
}

import { fork } from 'node:child_process'
import { once } from 'node:events'
import { existsSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { serviceStore } from '@tidemark/stores/client'
import { superviseStateService, type SuperviseOptions } from '@tidemark/stores/service'
import { expect, onTestFinished, test } from 'vitest'
import { RawClient } from './raw-client.ts'
import { socketPath } from './served.ts'

const env = { ...process.env, NODE_OPTIONS: '--conditions=@tidemark/source' }

async function supervise(options: SuperviseOptions, lines: string[] = []) {
  const service = await superviseStateService({ env, log: (line) => lines.push(line), ...options })
  onTestFinished(() => service.stop())
  return service
}

test('a killed service is started again, and its log has a prefix', async () => {
  const lines: string[] = []
  const settings = { socket: socketPath() }
  const service = await supervise({ settings, prefix: 'state> ' }, lines)
  await using store = serviceStore({ socket: service.socket, timeout: 20_000 })
  await store.put('a', { value: 1 })
  const first = service.pid as number
  process.kill(first, 'SIGKILL')
  // It waits for the next one, which memory has nothing of.
  await expect.poll(() => service.restarts, { timeout: 30_000 }).toBe(1)
  expect(await store.get('a')).toBeUndefined()
  expect(service.pid).not.toBe(first)
  expect(lines.every((line) => line.startsWith('state> '))).toBe(true)
  expect(lines.filter((line) => line.includes('the state service runs'))).toHaveLength(2)
  expect(lines.some((line) => line.includes('SIGKILL'))).toBe(true)
  await service.stop()
  await expect(RawClient.connect(service.socket)).rejects.toThrow('ENOENT')
})

test('a service that does not come to run fails with the end of its log', async () => {
  const settings = { socket: '/none/state.sock' }
  await expect(supervise({ settings })).rejects.toMatchObject({
    code: 'TIDEMARK_STATE_SERVICE_FAILED',
    message: expect.stringContaining('/none') as string,
  })
})

test('it ends with the process that supervises it, however that ends', async () => {
  const socket = socketPath()
  const program = fileURLToPath(new URL('fixtures/supervisor.ts', import.meta.url))
  const parent = fork(program, [socket], { execArgv: ['--conditions=@tidemark/source'] })
  await once(parent, 'message')
  using raw = await RawClient.connect(socket)
  expect(await raw.ask({ op: 'health' })).toMatchObject({ success: true })
  parent.kill('SIGKILL')
  await once(raw.socket, 'close')
  await expect.poll(() => existsSync(socket), { timeout: 30_000 }).toBe(false)
})

test('a log that throws ends nothing', async () => {
  const log = (): void => {
    throw new Error('the log is full')
  }
  const service = await superviseStateService({
    env,
    settings: { socket: socketPath() },
    log,
    prefix: '',
  })
  onTestFinished(() => service.stop())
  await using store = serviceStore({ socket: service.socket, timeout: 20_000 })
  expect((await store.put('a', { value: 1 })).version).toBe(1)
})

test.for([{ log: 'stderr' }, { prefix: 5 }, { startTimeout: 0 }, { logs: console.log }])(
  'what is no option is refused: %o',
  async (options) => {
    const settings = { socket: socketPath() }
    await expect(superviseStateService({ settings, ...options } as never)).rejects.toMatchObject({
      code: 'TIDEMARK_INVALID_OPTION',
    })
  },
)

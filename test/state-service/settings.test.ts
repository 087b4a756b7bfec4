import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { flagOf, readSettings, runService, settings, variableOf } from '@tidemark/stores/service'
import { silentLogger } from 'tidemark'
import { expect, onTestFinished, test } from 'vitest'
import { rawClient, socketPath } from './served.ts'

async function file(text: string): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'tidemark-settings-'))
  onTestFinished(() => rm(folder, { recursive: true }))
  const path = join(folder, 'state.yaml')
  await writeFile(path, text)
  return path
}

test('each setting comes from the flags, else the environment, else the file', async () => {
  const path = await file(`
# A comment, as YAML has them.
socket: /file
backend: redis
prefix: file
timeout: 2s
lineBytes: 4096
clients:
`)
  const env = {
    TIDEMARK_STATE_CONFIG: path,
    TIDEMARK_STATE_SOCKET: '/env',
    TIDEMARK_STATE_PREFIX: 'env',
    TIDEMARK_STATE_STALL_TIMEOUT: '1500',
    TIDEMARK_STATE_SCHEMA: '',
  }
  expect(await readSettings({ flags: { socket: '/flag' }, env })).toEqual({
    socket: '/flag',
    backend: 'redis',
    prefix: 'env',
    timeout: 2_000,
    stallTimeout: 1_500,
    lineBytes: 4_096,
  })
  expect(await readSettings({ env, file: await file('{"socket": "/json"}') })).toMatchObject({
    socket: '/env',
  })
})

test('flags and variables are named after the settings', () => {
  expect(settings.map(flagOf)).toContain('requests-per-second')
  expect(settings.map(variableOf)).toContain('TIDEMARK_STATE_REQUESTS_PER_SECOND')
})

test.for([
  ['an unknown setting', 'socket: /s\nbackand: redis'],
  ['an unknown backend', 'socket: /s\nbackend: etcd'],
  ['a number that is none', 'socket: /s\nclients: many'],
  ['a length of time that is none', 'socket: /s\ntimeout: soon'],
  ['a list', '- socket'],
  ['no YAML', 'socket: "'],
  ['no socket', 'backend: memory'],
  ['a socket that is a number', 'socket: 5'],
] as const)('a file with %s is refused', async ([, text]) => {
  await expect(readSettings({ file: await file(text) })).rejects.toMatchObject({
    code: 'TIDEMARK_INVALID_OPTION',
  })
})

test('a file that is not there is refused, and so is a variable that makes no sense', async () => {
  const invalid = { code: 'TIDEMARK_INVALID_OPTION' }
  await expect(readSettings({ file: '/none.yaml' })).rejects.toMatchObject(invalid)
  const env = { TIDEMARK_STATE_SOCKET: '/s', TIDEMARK_STATE_CLIENTS: '0x10' }
  await expect(readSettings({ env })).rejects.toMatchObject(invalid)
})

test('a service begins without its backend, and says so', async () => {
  const socket = socketPath()
  const stop = new AbortController()
  const ready = Promise.withResolvers<void>()
  const flags = { socket, backend: 'redis', url: 'redis://127.0.0.1:1', timeout: 100 } as const
  const options = { flags, logger: silentLogger, signal: stop.signal, ready: () => ready.resolve() }
  const running = runService(options)
  await ready.promise
  const raw = await rawClient({ socket })
  expect(await raw.ask({ op: 'health' })).toMatchObject({ health: { ok: false } })
  expect(await raw.ask({ op: 'get', jobId: 'a' })).toMatchObject({
    error: { code: 'TIDEMARK_STORE_UNAVAILABLE' },
  })
  stop.abort()
  await running
})

test('a variable that is misspelt is refused: a service without its backend would forget what it has', async () => {
  const env = { TIDEMARK_STATE_SOCKET: '/s', TIDEMARK_STATE_BACKAND: 'redis' }
  await expect(readSettings({ env })).rejects.toMatchObject({
    code: 'TIDEMARK_INVALID_OPTION',
    message: expect.stringContaining('TIDEMARK_STATE_BACKAND') as unknown,
    hint: expect.stringContaining('TIDEMARK_STATE_BACKEND') as unknown,
  })
})

import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, rm } from 'node:fs/promises'
import { createServer, type AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

/** A running nats-server. */
export interface NatsServer extends AsyncDisposable {
  readonly url: string
}

/**
 * Starts a nats-server with JetStream and a folder of its own; it must be installed (`npm run services`).
 *
 * @throws Error when there is none, or it does not start.
 */
export async function startNats(): Promise<NatsServer> {
  const home = await mkdtemp(join(tmpdir(), 'tidemark-bench-nats-'))
  const port = String(await freePort())
  const child = spawn('nats-server', ['-a', '127.0.0.1', '-p', port, '-js', '-sd', home], {
    stdio: ['ignore', 'ignore', 'pipe'],
  })
  const ended = Promise.withResolvers<void>()
  const ready = Promise.withResolvers<void>()
  let log = ''
  child.stderr.on('data', (chunk: Buffer) => {
    if (log.includes('Server is ready')) return
    log += chunk.toString()
    if (log.includes('Server is ready')) ready.resolve()
  })
  child.once('error', ready.reject)
  child.once('exit', () => {
    ended.resolve()
    ready.reject(new Error(`nats-server ended: ${log}`))
  })
  // However this process ends, the server does not outlive it.
  const kill = (): void => void child.kill('SIGKILL')
  process.once('exit', kill)
  await ready.promise
  return {
    url: `nats://127.0.0.1:${port}`,
    async [Symbol.asyncDispose]() {
      process.off('exit', kill)
      kill()
      await ended.promise
      await rm(home, { recursive: true, force: true })
    },
  }
}

async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  server.close()
  await once(server, 'close')
  return port
}

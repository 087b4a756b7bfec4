import { randomInt } from 'node:crypto'
import { createServer } from 'node:net'

/**
 * Finds a port on 127.0.0.1 that nobody listens on.
 *
 * It lies below the ports that systems hand out to outgoing connections (from 32768 on Linux, from
 * 49152 elsewhere): while a server is down between a kill and a restart, a client that keeps
 * reconnecting to an outgoing port is in time given that very port as its own, connects to itself,
 * and the server can't come back.
 *
 * @returns a port that was free a moment ago; whoever uses it must still be ready to lose the race.
 */
export async function findFreePort(): Promise<number> {
  for (;;) {
    const port = randomInt(20_000, 32_000)
    if (await isFree(port)) return port
  }
}

function isFree(port: number): Promise<boolean> {
  const { promise, resolve, reject } = Promise.withResolvers<boolean>()
  const probe = createServer()
  probe.once('error', (error: NodeJS.ErrnoException) => {
    if (error.code === 'EADDRINUSE' || error.code === 'EACCES') resolve(false)
    else reject(error)
  })
  probe.listen({ port, host: '127.0.0.1', exclusive: true }, () => {
    probe.close(() => resolve(true))
  })
  return promise
}

import { once } from 'node:events'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { createConsole, OneTimeAccess } from '@tidemark/console'
import { toNodeListener } from '@tidemark/console/node'
import type { App } from 'tidemark'

/** The console of the run, open on this machine until it is disposed of. */
export interface OpenConsole extends AsyncDisposable {
  /** Works once, in one browser. */
  readonly link: string
}

/** Serves the console of an application on a free port of this machine. */
export async function openConsole(app: App): Promise<OpenConsole> {
  const closing = new AbortController()
  const access = new OneTimeAccess()
  const show = createConsole(app, {
    authorize: access.authorize,
    triggeredBy: () => 'console',
    signal: closing.signal,
  })
  const server = createServer(toNodeListener(show))
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  return {
    link: access.link(`http://127.0.0.1:${port}/`),
    async [Symbol.asyncDispose]() {
      closing.abort()
      server.close()
      server.closeAllConnections()
      await once(server, 'close')
    },
  }
}

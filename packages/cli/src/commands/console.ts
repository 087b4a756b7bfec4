import { once } from 'node:events'
import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import type { Command } from 'commander'
import { countArgument } from '../arguments/arguments.ts'
import { CliError } from '../cli-error.ts'
import { running, type Context } from '../command-run.ts'

interface Options {
  readonly port?: number
  readonly readOnly?: boolean
}

/** `tidemark console` */
export function addConsole(parent: Command, context: Context): void {
  parent
    .command('console')
    .description(
      'Serve the console, a web page that shows and steers the whole system, on this machine until Ctrl-C. Prints a link that works once, in one browser. It comes with @tidemark/console; with a config it can spawn jobs and read events as the application does.',
    )
    .option('--port <port>', 'where it listens (default: a free port)', countArgument)
    .option('--read-only', 'let nothing be changed')
    .action(
      running<Options, []>(context, async ({ options, session, output, io }) => {
        const { createConsole, OneTimeAccess, toNodeListener } = await loadConsole()
        const stopped = io.stopSignal()
        const app = await session.app()
        const access = new OneTimeAccess()
        const show = createConsole(app, {
          authorize: access.authorize,
          readOnly: options.readOnly === true,
          triggeredBy: () => 'console',
          signal: stopped,
        })
        const server = createServer(toNodeListener(show))
        await listening(server, options.port ?? 0)
        // Out of file descriptors, for instance: those who look already go on looking.
        server.on('error', (error) => output.note(`a connection was not taken: ${error.message}`))
        const { port } = server.address() as AddressInfo
        const url = access.link(`http://127.0.0.1:${port}/`)
        output.note('The console is open; the link works once. Ctrl-C closes it.')
        output.item({ url }, () => url)
        io.ready?.()
        if (!stopped.aborted) await once(stopped, 'abort')
        server.close()
        server.closeAllConnections()
        await once(server, 'close')
      }),
    )
}

type ConsolePackage = typeof import('@tidemark/console') & typeof import('@tidemark/console/node')

async function loadConsole(): Promise<ConsolePackage> {
  try {
    return { ...(await import('@tidemark/console')), ...(await import('@tidemark/console/node')) }
  } catch (cause) {
    const { code, message } = cause as NodeJS.ErrnoException
    if (code !== 'ERR_MODULE_NOT_FOUND' || !message.includes('@tidemark/console')) throw cause
    throw new CliError('the console is in @tidemark/console, which is not installed', {
      hint: 'Run `npm install @tidemark/console`.',
      cause,
    })
  }
}

async function listening(server: Server, port: number): Promise<void> {
  server.listen(port, '127.0.0.1')
  try {
    await once(server, 'listening')
  } catch (error) {
    throw new CliError(`port ${port} cannot be listened on: ${(error as Error).message}`, {
      hint: 'Choose another with --port, or none: a free one is taken.',
      cause: error,
    })
  }
}

import { spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import type { Console } from '@tidemark/console'
import { toNodeListener } from '@tidemark/console/node'
import { chromium, type Browser } from 'playwright-core'

const names = ['chromium', 'chromium-browser', 'google-chrome']

function executable(): string | undefined {
  return names
    .map((name) => spawnSync('which', [name], { encoding: 'utf8' }).stdout.trim())
    .find((path) => path !== '')
}

/** Why no browser can be started here; null: one can. */
export function browserMissing(): string | null {
  return executable() === undefined ? 'no Chromium is installed on this machine' : null
}

/**
 * Starts a Chromium that sees nothing but what it is sent to.
 *
 * @param options.plainHeap - whether nothing lies in the heap of a page but its objects: no compiled code, and none of
 * what the engine learns of it, which comes for as long as a page is young.
 */
export function startBrowser(options: { readonly plainHeap?: boolean } = {}): Promise<Browser> {
  const executablePath = executable()
  return chromium.launch({
    ...(executablePath === undefined ? {} : { executablePath }),
    args: [
      '--no-sandbox',
      '--disable-dev-shm-usage',
      ...(options.plainHeap === true
        ? ['--js-flags=--jitless --no-lazy-feedback-allocation --no-flush-bytecode']
        : []),
    ],
  })
}

/** A console on a free port. */
export class ServedConsole implements AsyncDisposable {
  readonly #server: Server

  private constructor(server: Server) {
    this.#server = server
  }

  static async start(show: Console): Promise<ServedConsole> {
    const server = createServer(toNodeListener(show))
    server.listen(0, '127.0.0.1')
    await once(server, 'listening')
    return new ServedConsole(server)
  }

  /** Breaks what is open: whoever wants to hear more has to come again. */
  cut(): void {
    this.#server.closeAllConnections()
  }

  get origin(): string {
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#server.closeAllConnections()
    this.#server.close()
    await once(this.#server, 'close')
  }
}

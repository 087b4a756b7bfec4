import { authorizeLoopback, createApi, type Peer } from '@tidemark/http'
import { rejectUnknownOptions, requireApp, stderrLogger, type App } from 'tidemark'
import { pageFiles } from '#page'
import type { ConsoleOptions } from './console-options.ts'
import { assetHeaders, pageHeaders } from './page-headers.ts'

/**
 * Answers requests for the page, its files and its data. It never rejects.
 *
 * @param peer - who sent the request, as the server that accepted it says; without an address the client is not on
 * this machine.
 */
export type Console = (request: Request, peer?: Peer) => Promise<Response>

/**
 * The console as a fetch handler for any framework: the page at `basePath`, its files, and its data, which is the API of
 * `@tidemark/http` below `basePath` + `/api`.
 *
 * Without `authorize` only clients on this machine are served.
 *
 * @throws TidemarkError TIDEMARK_INVALID_OPTION.
 *
 * @example
 * ```ts
 * import { createServer } from 'node:http'
 * import { createConsole } from '@tidemark/console'
 * import { toNodeListener } from '@tidemark/console/node'
 *
 * const show = createConsole(tidemark, { basePath: '/admin/tidemark' })
 * createServer(toNodeListener(show)).listen(8080, 'localhost')
 * ```
 */
export function createConsole(app: App, options: ConsoleOptions = {}): Console {
  requireApp('createConsole', app)
  // Only whether there are any: which they may be createApi() knows.
  rejectUnknownOptions('createConsole', options, Object.keys({ ...options }))
  const { title = app.schema, ...apiOptions } = options
  const { basePath = '', authorize = authorizeLoopback } = options
  // What is no text createApi() refuses as it is.
  const below = typeof basePath === 'string' ? `${basePath}/api` : basePath
  const api = createApi(app, { via: 'console', ...apiOptions, basePath: below })
  const logger = app.options.logger ?? stderrLogger

  const refusal = async (request: Request, peer: Peer): Promise<Response | undefined> => {
    // The page holds no data, but whoever may see nothing has no use for it, and a hook may send people to a login.
    const access = {
      action: 'overview',
      kind: 'look',
      subject: null,
      job: null,
      type: null,
    } as const
    const answer: unknown = await authorize({ ...access, request, peer })
    if (answer instanceof Response) return answer
    if (answer === true) return undefined
    return plain(403, 'You may not see this console.')
  }

  const servePage = async (path: string): Promise<Response> => {
    const files = await pageFiles()
    if (path === '' || path === '/') {
      const page = files.find((file) => file.path === 'index.html')
      // Some frameworks take a slash at the end away and some add one: the page finds its files from either.
      const base = path === '/' ? './' : `./${basePath.slice(basePath.lastIndexOf('/') + 1)}/`
      const text = (page?.text ?? '')
        .replace('<base href="./"', () => `<base href="${escaped(base)}"`)
        .replaceAll('%TITLE%', () => escaped(title))
      return new Response(text, { headers: pageHeaders })
    }
    const file = files.find((one) => `/${one.path}` === path && one.path !== 'index.html')
    if (file === undefined) return plain(404, 'There is nothing here.')
    return new Response(file.text, { headers: assetHeaders(file.type) })
  }

  return async (request, peer = {}) => {
    try {
      const { pathname } = new URL(request.url)
      if (!pathname.startsWith(basePath)) return plain(404, 'There is nothing here.')
      const path = pathname.slice(basePath.length)
      if (path.startsWith('/api/')) return await api(request, peer)
      if (request.method !== 'GET' && request.method !== 'HEAD') {
        return plain(405, 'The page can only be read.', { allow: 'GET, HEAD' })
      }
      return (await refusal(request, peer)) ?? (await servePage(path))
    } catch (error) {
      logger.error({ err: error }, 'the console could not be shown')
      return plain(500, 'The console could not be shown; the log of the server says why.')
    }
  }
}

function plain(
  status: number,
  text: string,
  headers: Readonly<Record<string, string>> = {},
): Response {
  return new Response(`${text}\n`, {
    status,
    headers: {
      'content-type': 'text/plain; charset=utf-8',
      'cache-control': 'no-store',
      'x-content-type-options': 'nosniff',
      ...headers,
    },
  })
}

function escaped(text: string): string {
  return text.replaceAll(/[&<>"']/gu, (character) => `&#${character.codePointAt(0)};`)
}

import { randomBytes, timingSafeEqual } from 'node:crypto'
import { authorizeLoopback, type ApiAccess } from '@tidemark/http'

/**
 * Lets in whoever has a link that works once: on a machine that several people use, an address alone would let all of
 * them in. The browser that follows the link gets a cookie, which works as long as this object lives.
 *
 * @example
 * ```ts
 * import { createConsole, OneTimeAccess } from '@tidemark/console'
 *
 * const access = new OneTimeAccess()
 * const show = createConsole(tidemark, { authorize: access.authorize })
 * console.log(access.link('http://localhost:8080/'))
 * ```
 */
export class OneTimeAccess {
  #token: string | undefined = secret()
  readonly #session = secret()
  // Cookies do not tell ports apart: two consoles on one machine need two names.
  readonly #cookie = `tidemark-console-${randomBytes(4).toString('hex')}`

  /** The link, which works once. */
  link(base: string): string {
    const url = new URL(base)
    if (this.#token !== undefined) url.searchParams.set('token', this.#token)
    return url.href
  }

  /** The hook for `createConsole`. */
  readonly authorize = (access: ApiAccess): boolean | Response => {
    if (!authorizeLoopback(access)) return false
    const { request } = access
    const url = new URL(request.url)
    const token = url.searchParams.get('token')
    if (token !== null && this.#token !== undefined && same(token, this.#token)) {
      this.#token = undefined
      return new Response(null, {
        status: 303,
        headers: {
          location: url.pathname,
          'set-cookie': `${this.#cookie}=${this.#session}; HttpOnly; SameSite=Strict; Path=/`,
          'cache-control': 'no-store',
          'referrer-policy': 'no-referrer',
        },
      })
    }
    const cookies = request.headers.get('cookie')?.split(/; */u) ?? []
    const prefix = `${this.#cookie}=`
    const given = cookies.find((cookie) => cookie.startsWith(prefix))?.slice(prefix.length)
    if (given !== undefined && same(given, this.#session)) return true
    return new Response(
      'The link to this console works once. Run the command again for another.\n',
      {
        status: 401,
        headers: { 'content-type': 'text/plain; charset=utf-8', 'cache-control': 'no-store' },
      },
    )
  }
}

function secret(): string {
  return randomBytes(32).toString('base64url')
}

/** Compares without telling by its time how much of it is right. */
function same(given: string, expected: string): boolean {
  const [a, b] = [Buffer.from(given), Buffer.from(expected)]
  return a.length === b.length && timingSafeEqual(a, b)
}

import { gzipSync } from 'node:zlib'
import { createConsole, OneTimeAccess, type ConsoleOptions } from '@tidemark/console'
import { useTestDatabase } from '@tidemark/testing/vitest'
import type { App } from 'tidemark'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { appOn } from '../support/test-app.ts'

const database = useTestDatabase()
const here = { address: '127.0.0.1' }
let app: App

beforeAll(async () => {
  app = appOn(database, [])
  // Building the page leaves threads of the builder behind.
  await get('/')
})
afterAll(() => app.close())

function get(path: string, options: ConsoleOptions = {}, peer: object = here): Promise<Response> {
  return createConsole(app, options)(new Request(`http://localhost:8080${path}`), peer)
}

/** The files that a page asks for, as URLs. */
async function filesOf(page: Response, at: string): Promise<URL[]> {
  const text = await page.text()
  const [, base = ''] = /<base href="([^"]*)"/u.exec(text) ?? []
  const named = [...text.matchAll(/<(?:script|link)\b[^>]*(?:src|href)="([^"]+)"/gu)]
  return named.map(([, path]) => new URL(path ?? '', new URL(base, `http://localhost:8080${at}`)))
}

test.each([
  ['', '/'],
  ['/console', '/console/'],
  ['/console', '/console'],
  ['/a/b', '/a/b/'],
  ['/a/b', '/a/b'],
])('with the base path "%s" the page at %s finds its files and its data', async (basePath, at) => {
  const page = await get(at, { basePath })
  expect(page.status).toBe(200)
  const files = await filesOf(page, at)
  expect(files.length).toBe(3)
  for (const { pathname } of files) {
    const file = await get(pathname, { basePath })
    expect([pathname, file.status]).toEqual([pathname, 200])
    expect(file.headers.get('cache-control')).toContain('immutable')
  }
  const data = await get(`${basePath}/api/access`, { basePath })
  expect(data.status).toBe(200)
})

test('a prefix that a proxy adds is in no answer: the page and its links are relative', async () => {
  const files = await filesOf(await get('/'), '/behind/a/proxy/')
  for (const { pathname } of files) expect(pathname).toMatch(/^\/behind\/a\/proxy\/assets\//u)
})

test('the page may load and run only what the console serves, and be framed by nobody', async () => {
  const page = await get('/')
  const policy = page.headers.get('content-security-policy') ?? ''
  expect(policy).toContain("default-src 'none'")
  expect(policy).toContain("script-src 'self'")
  expect(policy).toContain("require-trusted-types-for 'script'")
  expect(policy).toContain("frame-ancestors 'none'")
  expect(policy).not.toMatch(/unsafe|https?:|data:|\*/u)
  expect(page.headers.get('cache-control')).toBe('no-store')
  const text = await page.text()
  expect(text).not.toMatch(/<script(?![^>]*\bsrc=)|<style|\son\w+=|\sstyle=/iu)
})

test('everything that the page needs is less than 60 kB compressed', async () => {
  const page = await get('/')
  let bytes = 0
  for (const { pathname } of await filesOf(page.clone(), '/')) {
    bytes += gzipSync(await (await get(pathname)).text()).length
  }
  bytes += gzipSync(await page.text()).length
  expect(bytes).toBeLessThan(60_000)
  // And it is there at all.
  expect(bytes).toBeGreaterThan(10_000)
})

test('a title is text, whatever it holds', async () => {
  const page = await get('/', { title: '</title><script>alert(1)</script>$&"' })
  const text = await page.text()
  expect(text).not.toContain('<script>')
  expect(text).toContain('&#60;script&#62;alert(1)&#60;/script&#62;$&#38;&#34;')
})

test.each([
  ['another machine', '/', { address: '10.0.0.7' }],
  ['nobody knows where', '/', {}],
  ['a file for another machine', '/assets/x.js', { address: '10.0.0.7' }],
])('without a hook the page is not served to %s', async (_who, path, peer) => {
  const answer = await get(path, {}, peer)
  expect(answer.status).toBe(403)
})

test('a hook decides about the page as about its data, and may send people elsewhere', async () => {
  const login = (): Response => new Response(null, { status: 302, headers: { location: '/login' } })
  const far = { address: '10.0.0.7' }
  expect((await get('/', { authorize: login }, far)).headers.get('location')).toBe('/login')
  expect((await get('/api/jobs', { authorize: login }, far)).status).toBe(302)
  expect((await get('/', { authorize: () => true }, far)).status).toBe(200)
  const yes = (() => 'yes') as unknown as () => boolean
  expect((await get('/', { authorize: yes }, far)).status).toBe(403)
  const broken = (): boolean => {
    throw new Error('the password of the directory is hunter2')
  }
  const answer = await get('/', { authorize: broken }, far)
  expect(answer.status).toBe(500)
  expect(await answer.text()).not.toContain('hunter2')
})

test('what is not there is not found, and the page takes no commands', async () => {
  expect((await get('/index.html')).status).toBe(404)
  expect((await get('/assets/../../package.json')).status).toBe(404)
  expect((await get('/%2e%2e/x')).status).toBe(404)
  const show = createConsole(app, { basePath: '/console' })
  const other = await show(new Request('http://localhost/consoles/x'), here)
  expect(other.status).toBe(404)
  const post = await show(new Request('http://localhost/console/', { method: 'POST' }), here)
  expect(post.status).toBe(405)
})

test('a link that works once lets one browser in, and nobody else on the machine', async () => {
  const access = new OneTimeAccess()
  const show = createConsole(app, { authorize: access.authorize })
  const ask = (url: string, cookie = ''): Promise<Response> =>
    show(new Request(url, { headers: { cookie } }), here)
  const link = access.link('http://localhost:8080/')
  expect((await ask('http://localhost:8080/')).status).toBe(401)
  expect((await ask('http://localhost:8080/api/jobs')).status).toBe(401)
  const first = await ask(link)
  expect([first.status, first.headers.get('location')]).toEqual([303, '/'])
  const cookie = first.headers.get('set-cookie') ?? ''
  expect(cookie).toMatch(/HttpOnly; SameSite=Strict/u)
  const [pair = ''] = cookie.split(';')
  expect((await ask('http://localhost:8080/', pair)).status).toBe(200)
  expect((await ask('http://localhost:8080/api/openapi.json', `a=b; ${pair}`)).status).toBe(200)
  // The link has been used, and a cookie that is nearly right is wrong.
  expect((await ask(link)).status).toBe(401)
  expect((await ask('http://localhost:8080/', `${pair}x`)).status).toBe(401)
  // A name that leads here from elsewhere, and another machine with the cookie.
  expect((await ask('http://evil.example:8080/', pair)).status).toBe(403)
  const far = await show(new Request('http://localhost:8080/', { headers: { cookie: pair } }), {
    address: '10.0.0.7',
  })
  expect(far.status).toBe(403)
})

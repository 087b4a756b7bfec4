import { once } from 'node:events'
import { readFile } from 'node:fs/promises'
/**
 * Looks at the built site in a real browser, without a network, and keeps what it saw in `looks`:
 * `npm run site:look`. It fails when a page reports an error or the search finds nothing.
 */
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { extname } from 'node:path'
import { fileURLToPath } from 'node:url'
import { chromium } from 'playwright-core'

const types: Readonly<Record<string, string>> = {
  '.html': 'text/html',
  '.js': 'text/javascript',
  '.css': 'text/css',
  '.svg': 'image/svg+xml',
  '.txt': 'text/plain',
}

async function serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
  const path = (request.url ?? '/').replace(/\/$/, '/index.html').split('?')[0] ?? ''
  try {
    const body = await readFile(new URL(`dist${decodeURIComponent(path)}`, import.meta.url))
    response.writeHead(200, { 'content-type': types[extname(path)] ?? 'application/octet-stream' })
    response.end(body)
  } catch {
    response.writeHead(404).end()
  }
}

const server = createServer((request, response) => void serve(request, response))
server.listen(0, '127.0.0.1')
await once(server, 'listening')
const site = `http://127.0.0.1:${(server.address() as AddressInfo).port}`

const browser = await chromium.launch({
  executablePath: process.env['CHROMIUM'] ?? '/usr/bin/chromium',
  args: ['--no-sandbox', '--disable-dev-shm-usage'],
})
const errors: string[] = []
try {
  for (const colorScheme of ['light', 'dark'] as const) {
    const page = await browser.newPage({ colorScheme, viewport: { width: 1280, height: 900 } })
    page.on('pageerror', (error) => errors.push(String(error)))
    page.on('requestfailed', (request) => errors.push(`${request.url()} was not answered`))
    page.on('request', (request) => {
      if (!request.url().startsWith(site)) errors.push(`${request.url()} is somewhere else`)
    })
    for (const path of ['/', '/guide.html', '/reference/tidemark/functions/defineListener.html']) {
      await page.goto(site + path, { waitUntil: 'networkidle' })
      const name =
        path
          .replace(/\.html$/, '')
          .replaceAll('/', '-')
          .slice(1) || 'home'
      const file = `looks/${name}-${colorScheme}.png`
      await page.screenshot({ path: fileURLToPath(new URL(file, import.meta.url)) })
    }
    await page.keyboard.press('Control+k')
    await page.getByRole('searchbox').fill('doorbell')
    await page.locator('.VPLocalSearchBox .result').first().waitFor({ timeout: 30_000 })
    await page.close()
  }
} finally {
  await browser.close()
  server.close()
}
for (const error of errors) console.error(error)
if (errors.length > 0) process.exitCode = 1
else console.log('The pages and the search are well; see docs/site/looks.')

import { createConsole } from '@tidemark/console'
import { useTestDatabase } from '@tidemark/testing/vitest'
import type { Browser, BrowserContext } from 'playwright-core'
import { defineEvent, type App } from 'tidemark'
import { afterAll, beforeAll, describe, expect, test, vi, type MockInstance } from 'vitest'
import { z } from 'zod'
import { appOn } from '../support/test-app.ts'
import { browserMissing, ServedConsole, startBrowser } from './browser.ts'

const missing = browserMissing()
if (missing !== null) console.log(`the console's page is not tested: ${missing}`)

const noted = defineEvent('test.noted', { payload: z.object({ note: z.string() }) })

describe.skipIf(missing !== null)('a page that stays open', () => {
  const database = useTestDatabase({ leakCheck: false })
  let app: App
  let served: ServedConsole
  let browser: Browser
  let context: BrowserContext
  /** One call for each look of all viewers together. */
  let looks: MockInstance

  beforeAll(async () => {
    app = appOn(database, [noted])
    looks = vi.spyOn(app.processes, 'list')
    const starting = startBrowser()
    served = await ServedConsole.start(createConsole(app, { overviewInterval: 25 }))
    browser = await starting
    context = await browser.newContext()
  })

  afterAll(async () => {
    await browser?.close()
    await served?.[Symbol.asyncDispose]()
    await app?.close()
  })

  const looked = async (more: number): Promise<void> => {
    const wanted = looks.mock.calls.length + more
    await vi.waitFor(() => expect(looks.mock.calls.length).toBeGreaterThanOrEqual(wanted), {
      timeout: 60_000,
      interval: 20,
    })
  }

  test('three pages cost the looks of one, ask for nothing else, and cost none when they are closed', async () => {
    const asked: string[] = []
    const pages = await Promise.all([1, 2, 3].map(() => context.newPage()))
    for (const page of pages) {
      await page.goto(`${served.origin}/#/`)
      await page.getByText('Nothing is wrong').or(page.getByText('to look at')).first().waitFor()
      page.on('request', (request) => asked.push(request.url()))
    }
    const times: number[] = []
    const before = looks.mock.calls.length
    const began = performance.now()
    await looked(40)
    times.push(performance.now() - began)
    // With a look of its own for each page there would be three in each interval.
    expect(looks.mock.calls.length - before).toBeLessThanOrEqual((times[0] ?? 0) / 25 + 2)
    expect(asked).toEqual([])
    await Promise.all(pages.map((page) => page.close()))
    // One that was under way may end; then there are none. Asking for one that is its own shows that time has passed.
    let last: number
    do {
      last = looks.mock.calls.length
      await app.outbox.stats()
      await new Promise((resolve) => setTimeout(resolve, 100))
    } while (looks.mock.calls.length !== last)
    await new Promise((resolve) => setTimeout(resolve, 200))
    expect(looks.mock.calls.length).toBe(last)
  })

  test('a page whose connection breaks says so, comes back by itself and knows what it has missed', async () => {
    const page = await context.newPage()
    await page.goto(`${served.origin}/#/`)
    const tile = page.getByRole('link', { name: /Events published/u })
    await tile.waitFor()
    served.cut()
    await page.getByText('not connected').waitFor()
    await app.publish(noted({ note: 'meanwhile' }))
    const { lastSequence } = await app.outbox.position()
    await expect.poll(() => tile.textContent(), { timeout: 30_000 }).toContain(String(lastSequence))
    await page.getByText('not connected').waitFor({ state: 'detached' })
    await page.close()
  })

  test('nothing grows in a page that is left open', { timeout: 180_000 }, async () => {
    const page = await context.newPage()
    await page.goto(`${served.origin}/#/`)
    await page.getByText('Published, in events a second').waitFor()
    const session = await context.newCDPSession(page)
    const weigh = async (): Promise<{ bytes: number; nodes: number; listeners: number }> => {
      await session.send('HeapProfiler.collectGarbage')
      const { usedSize: bytes } = await session.send('Runtime.getHeapUsage')
      const { nodes, jsEventListeners: listeners } = await session.send('Memory.getDOMCounters')
      return { bytes, nodes, listeners }
    }
    // The chart keeps the last 120 samples.
    await looked(130)
    const before = await weigh()
    await looked(Number(process.env['TIDEMARK_TICKS'] ?? 150))
    const after = await weigh()
    expect(after.bytes - before.bytes).toBeLessThan(150_000)
    expect(after.nodes - before.nodes).toBeLessThan(50)
    expect(after.listeners - before.listeners).toBeLessThan(10)
    await page.close()
  })
})

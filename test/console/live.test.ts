import { createConsole } from '@tidemark/console'
import { useTestDatabase } from '@tidemark/testing/vitest'
import type { Browser, BrowserContext, Page } from 'playwright-core'
import { defineEvent, Observer, type App } from 'tidemark'
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
    looks = vi.spyOn(Observer.prototype, 'look')
    const starting = startBrowser({ plainHeap: true })
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
    const [first] = pages
    if (first === undefined) throw new Error('there is no page')
    const told = await messagesOf(first)
    const before = looks.mock.calls.length
    const heard = told()
    await looked(40)
    // With a look of its own for each page there would be three for each time that one of them is told.
    expect(looks.mock.calls.length - before).toBeLessThan(2 * (told() - heard) + 5)
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
    // It is about the page: what it is told changes each time, and no database is asked for it.
    const stands = await app.observe().look()
    let told = 0n
    looks.mockImplementation(async () => ({
      ...stands,
      at: new Date(),
      tick: performance.now(),
      lastSequence: stands.lastSequence + (told += 1n),
    }))
    await using quick = await ServedConsole.start(createConsole(app, { overviewInterval: 10 }))
    const open = await Promise.all([weighed(browser), weighed(browser, keepWhatIsTold)])
    for (const { page } of open) {
      await page.goto(`${quick.origin}/#/`)
      await page.getByText('Published, in events a second').waitFor()
    }
    /** Waits until both have been told so many times more, and show it: a page that is told faster than it draws is behind. */
    const shown = async (more: number): Promise<void> => {
      const wanted = told + BigInt(more)
      // Not with waitForFunction(): it evaluates texts in the page, whose policy forbids that.
      for (const { page } of open) {
        await vi.waitFor(async () => expect(await page.evaluate(tellsAtLeast(wanted))).toBe(true), {
          timeout: 60_000,
          interval: 50,
        })
      }
    }
    /** Of each page the least of several: garbage comes and goes, and what is kept stays. */
    const weigh = async (): Promise<Weight[]> => {
      const least = await Promise.all(open.map(({ weight }) => weight()))
      for (let more = 0; more < 4; more += 1) {
        await shown(8)
        for (const [index, { weight }] of open.entries())
          least[index] = lesser(least[index] as Weight, await weight())
      }
      return least
    }
    // The chart keeps the last 120 samples.
    await shown(130)
    const [clean, leaky] = await weigh()
    const from = told
    await shown(Number(process.env['TIDEMARK_TICKS'] ?? 400))
    const [cleanAfter, leakyAfter] = await weigh()
    if (!clean || !leaky || !cleanAfter || !leakyAfter) throw new Error('there are two pages')
    const ticks = Number(told - from)
    // The other page keeps what it is told, some hundred bytes each time. This one keeps less by far, with what garbage is left:
    // there are so many ticks because a table of the engine's, of 76 kB, comes or goes now and then.
    const kept = leakyAfter.bytes - leaky.bytes
    expect(kept).toBeGreaterThan(50 * ticks)
    expect(cleanAfter.bytes - clean.bytes).toBeLessThan(0.6 * kept)
    expect(cleanAfter.nodes - clean.nodes).toBeLessThan(ticks / 10)
    expect(cleanAfter.listeners - clean.listeners).toBeLessThan(ticks / 10)
    for (const { page } of open) await page.context().close()
  })
})

/** What a page holds. */
interface Weight {
  readonly bytes: number
  readonly nodes: number
  readonly listeners: number
}

function lesser(one: Weight, other: Weight): Weight {
  return {
    bytes: Math.min(one.bytes, other.bytes),
    nodes: Math.min(one.nodes, other.nodes),
    listeners: Math.min(one.listeners, other.listeners),
  }
}

/** A page in a process of its own, and how to weigh it. */
async function weighed(
  browser: Browser,
  plant?: () => void,
): Promise<{ readonly page: Page; readonly weight: () => Promise<Weight> }> {
  const context = await browser.newContext()
  const page = await context.newPage()
  if (plant !== undefined) await page.addInitScript(plant)
  const session = await context.newCDPSession(page)
  const weight = async (): Promise<Weight> => {
    await session.send('HeapProfiler.collectGarbage')
    await session.send('HeapProfiler.collectGarbage')
    const { usedSize: bytes } = await session.send('Runtime.getHeapUsage')
    const { nodes, jsEventListeners: listeners } = await session.send('Memory.getDOMCounters')
    return { bytes, nodes, listeners }
  }
  return { page, weight }
}

/** For the page: whether its first tile shows this number or a greater one. */
function tellsAtLeast(wanted: bigint): string {
  return `Number(document.querySelector('.tile .value')?.textContent.replaceAll(',', '')) >= ${wanted}`
}

/** Runs in the page: a leak. */
function keepWhatIsTold(): void {
  const kept: unknown[] = []
  const parse = JSON.parse.bind(JSON)
  JSON.parse = (text: string) => {
    const value: unknown = parse(text)
    kept.push(value)
    return value
  }
}

/** How many server-sent events a page has been told, from now on. */
async function messagesOf(page: Page): Promise<() => number> {
  let messages = 0
  const session = await page.context().newCDPSession(page)
  session.on('Network.eventSourceMessageReceived', () => (messages += 1))
  await session.send('Network.enable')
  return () => messages
}

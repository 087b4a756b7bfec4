/** Takes the pictures of docs/console.md: `npm run screenshots`. It needs a Chromium. */
import { mkdir } from 'node:fs/promises'
import { fileURLToPath } from 'node:url'
import { createConsole } from '@tidemark/console'
import { createTestDatabase } from '@tidemark/testing'
import { defineApp, type App, type Logger } from 'tidemark'
import { browserMissing, ServedConsole, startBrowser } from '../browser.ts'
import { deposited, isPlayed, play, world } from '../world.ts'

const folder = fileURLToPath(new URL('../../../docs/images/', import.meta.url))

const missing = browserMissing()
if (missing !== null) throw new Error(missing)
await mkdir(folder, { recursive: true })
await using database = await createTestDatabase()
const logger: Logger = { debug() {}, info() {}, warn() {}, error() {} }
await using app = defineApp({ modules: [world], connectionString: database.url, logger })
await using _ = await app.start({ handleSignals: false })
await play(app)
while (!(await isPlayed(app))) await new Promise((resolve) => setTimeout(resolve, 100))
await using served = await ServedConsole.start(createConsole(app, { title: 'Bank' }))
const browser = await startBrowser()
for (const colorScheme of ['light', 'dark'] as const) {
  const context = await browser.newContext({
    colorScheme,
    reducedMotion: 'reduce',
    viewport: { width: 1280, height: 800 },
  })
  const page = await context.newPage()
  for (const [name, place] of await places(app)) {
    await page.goto(`${served.origin}/#/${place}`)
    await page.locator('main h1').waitFor()
    await page.locator('.skeleton').first().waitFor({ state: 'detached' })
    if (name === 'overview') await publishSome(app)
    await page.screenshot({ path: `${folder}console-${name}-${colorScheme}.png` })
  }
  await context.close()
}
await browser.close()

/** For the chart of the overview, which begins when the page is opened: a quiet morning. */
async function publishSome(to: App): Promise<void> {
  for (const [second, events] of [3, 9, 5, 14, 8, 11, 4, 7].entries()) {
    for (let each = 0; each < events; each += 1) {
      const payload = {
        accountId: `acc-${(each % 6) + 1}`,
        cents: 1_00n,
        reference: `INV-${second}`,
      }
      await to.publish(deposited(payload))
    }
    await new Promise((resolve) => setTimeout(resolve, 1_100))
  }
}

/** The screens that the documentation shows. */
async function places({ jobs }: App): Promise<readonly (readonly [name: string, place: string])[]> {
  const [letter] = await jobs.list({ name: 'send_letter', status: 'completed', limit: 1 })
  return [
    ['overview', ''],
    ['jobs', 'jobs'],
    ['job', `jobs/${letter?.id ?? ''}`],
    ['event', 'events/1'],
  ]
}

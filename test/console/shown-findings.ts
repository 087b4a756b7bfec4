import { createConsole } from '@tidemark/console'
import type { Page } from 'playwright-core'
import type { App } from 'tidemark'
import { browserMissing, ServedConsole, startBrowser } from './browser.ts'

const missing = browserMissing()
if (missing !== null)
  console.log(`what a browser shows of planted faults is not tested: ${missing}`)

/** The overview of an application in a browser that is left open. */
export class ShownFindings implements AsyncDisposable {
  readonly #page: Page
  readonly #parts: AsyncDisposableStack

  private constructor(page: Page, parts: AsyncDisposableStack) {
    this.#page = page
    this.#parts = parts
  }

  /** @returns undefined where there is no browser. */
  static async open(app: App): Promise<ShownFindings | undefined> {
    if (missing !== null) return undefined
    await using parts = new AsyncDisposableStack()
    const served = parts.use(await ServedConsole.start(createConsole(app)))
    const browser = await startBrowser()
    parts.defer(() => browser.close())
    const page = await browser.newPage()
    await page.goto(served.origin)
    return new ShownFindings(page, parts.move())
  }

  /** What it says of each finding, with its remedy. */
  async texts(): Promise<readonly string[]> {
    const texts = await this.#page.locator('ul.findings > li').allInnerTexts()
    return texts.map((text) => text.replaceAll(/\s+/gu, ' '))
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#parts.disposeAsync()
  }
}

import { createConsole } from '@tidemark/console'
import { useTestDatabase } from '@tidemark/testing/vitest'
import type { Browser, BrowserContext, Locator, Page } from 'playwright-core'
import type { App, JobStatus, Runner } from 'tidemark'
import { afterAll, beforeAll, beforeEach, describe, expect, test, vi } from 'vitest'
import { appOn } from '../support/test-app.ts'
import { violationsIn } from './accessibility.ts'
import { browserMissing, ServedConsole, startBrowser } from './browser.ts'
import { deposited, isPlayed, play, world } from './world.ts'

const missing = browserMissing()
if (missing !== null) console.log(`the console's page is not tested: ${missing}`)

describe.skipIf(missing !== null)('the page in a browser', () => {
  // One worker and one browser serve all of the tests.
  const database = useTestDatabase({ leakCheck: false })
  let app: App
  let runner: Runner
  let served: ServedConsole
  let browser: Browser
  let context: BrowserContext
  let page: Page
  /** What the browser complained of: violations of the policy among it. */
  const complaints: string[] = []

  beforeAll(async () => {
    app = appOn(database, [world])
    const starting = startBrowser()
    runner = await app.start()
    await play(app)
    served = await ServedConsole.start(
      createConsole(app, { basePath: '/ops', title: 'Bank', overviewInterval: 200 }),
    )
    browser = await starting
    context = await browser.newContext({ viewport: { width: 1280, height: 900 } })
    page = await context.newPage()
    page.on('console', (message) => {
      if (['error', 'warning'].includes(message.type())) complaints.push(message.text())
    })
    page.on('pageerror', ({ message }) => complaints.push(message))
    page.on('dialog', (dialog) => {
      complaints.push(`a dialog of the browser: ${dialog.message()}`)
      void dialog.dismiss()
    })
    await expectSoon(() => isPlayed(app))
  })

  afterAll(async () => {
    await browser?.close()
    await served?.[Symbol.asyncDispose]()
    await runner?.stop()
    await app?.close()
  })

  beforeEach(() => {
    complaints.length = 0
    return () => {
      if (complaints.length > 0) throw new Error(`the browser complained: ${complaints.join('; ')}`)
    }
  })

  async function expectSoon(holds: () => Promise<boolean>): Promise<void> {
    await vi.waitFor(async () => expect(await holds()).toBe(true), {
      timeout: 30_000,
      interval: 20,
    })
  }

  /** Opens a place and waits for its heading. */
  async function open(place: string): Promise<Locator> {
    await page.goto(`${served.origin}/ops/#/${place}`)
    const heading = page.locator('main h1')
    await heading.waitFor()
    await page.locator('.skeleton').first().waitFor({ state: 'detached' })
    return heading
  }

  /** The page hears of the system's theme, and follows. */
  async function expectTheme(theme: string): Promise<void> {
    await expect.poll(() => page.evaluate('document.documentElement.dataset.theme')).toBe(theme)
  }

  async function press(name: string): Promise<void> {
    await page.getByRole('button', { name, exact: true }).first().click()
  }

  /** Presses a button, and confirms what it asks. */
  async function act(button: string, confirm: string): Promise<void> {
    await press(button)
    const dialog = page.getByRole('dialog')
    await dialog.getByRole('button', { name: confirm, exact: true }).click()
    await dialog.waitFor({ state: 'hidden' })
  }

  async function firstJob(name: string, status?: JobStatus): Promise<string> {
    const [job] = await app.jobs.list({
      name,
      limit: 1,
      ...(status === undefined ? {} : { status }),
    })
    if (job === undefined) throw new Error(`no job ${name}`)
    return job.id
  }

  async function firstDeadLetter(): Promise<string> {
    const [letter] = await app.deadLetters.list({ listener: 'ledger.booking' })
    if (letter === undefined) throw new Error('no dead letter')
    return String(letter.sequence)
  }

  const screens: readonly (readonly [place: string | (() => Promise<string>), says: string])[] = [
    ['', 'Overview'],
    ['processes', 'Processes'],
    ['audit', 'Audit'],
    ['events', 'Events'],
    ['events?type=deposits.received&path=accountId&equals=acc-2', 'Events'],
    ['events/2', 'deposits.received'],
    ['listeners', 'Listeners & projections'],
    ['listeners/authority.reporting', 'authority.reporting halted'],
    ['listeners/balances', 'balances active'],
    ['listeners/dashboard', 'dashboard active'],
    ['dead-letters', 'Dead letters'],
    [
      async () => `dead-letters/ledger.booking/${await firstDeadLetter()}`,
      'deposits.received parked',
    ],
    ['jobs', 'Jobs'],
    ['jobs?status=failed&name=settle_payments', 'Jobs'],
    ['jobs?uniqueKey=nothing-has-it', 'Jobs'],
    [async () => `jobs/${await firstJob('settle_payments', 'failed')}`, 'settle_payments failed'],
    [async () => `jobs/${await firstJob('send_letter', 'completed')}`, 'send_letter completed'],
    [async () => `jobs/${await firstJob('approve_credit')}`, 'approve_credit waits for signal'],
    ['queues', 'Queues & types'],
    ['queues/send_letter', 'send_letter'],
    ['schedules', 'Schedules'],
    ['schedules/nightly_statements', 'nightly_statements active'],
    ['no/such/place', 'Nothing here'],
  ]

  test.each(screens)(
    'the screen at %s has its data, fits a phone, and axe finds nothing in either theme',
    async (place, says) => {
      await page.emulateMedia({ colorScheme: 'light', reducedMotion: 'reduce' })
      const heading = await open(typeof place === 'string' ? place : await place())
      expect((await heading.textContent())?.trim()).toBe(says)
      expect(await page.getByRole('alert').count()).toBe(0)
      await expectTheme('light')
      expect(await violationsIn(page)).toEqual([])
      await page.emulateMedia({ colorScheme: 'dark', reducedMotion: 'reduce' })
      await expectTheme('dark')
      // Nothing but colours is otherwise in the dark.
      expect(await violationsIn(page, ['color-contrast'])).toEqual([])
      await page.setViewportSize({ width: 375, height: 720 })
      expect(await page.evaluate('document.documentElement.scrollWidth - innerWidth')).toBe(0)
      await page.setViewportSize({ width: 1280, height: 900 })
    },
  )

  test('what people brought is shown as text', async () => {
    await open('jobs?name=send_letter&status=completed')
    await page.getByText('<img src=x onerror=alert(1)>').first().waitFor()
    expect(await page.locator('main img').count()).toBe(0)
  })

  test('a huge input is cut, and shown when it is asked for', async () => {
    const huge = 'x'.repeat(400_000)
    const { id } = await app.jobs.spawn('settle_payments', { day: huge }, { delay: '1d' })
    await open(`jobs/${id}`)
    const shown = async (): Promise<number> =>
      ((await page.getByRole('region', { name: 'input' }).textContent()) ?? '').length
    expect(await shown()).toBeLessThan(15_000)
    await page.getByRole('button', { name: /^Show all/u }).click()
    expect(await shown()).toBeGreaterThan(400_000)
    await app.jobs.cancel(id)
    await app.jobs.delete(id)
  })

  test('a job is paused, resumed, cancelled, retried and given another priority', async () => {
    const { id } = await app.jobs.spawn('approve_credit', { proposal: 'P-7' }, { delay: '1d' })
    const status = async (): Promise<string> => (await app.jobs.get(id)).status
    await open(`jobs/${id}`)
    await act('Pause', 'Pause this job')
    expect(await status()).toBe('paused')
    await act('Resume', 'Resume this job')
    expect(await status()).toBe('scheduled')
    await press('Priority')
    await page.getByLabel('Priority', { exact: true }).fill('-5')
    await page.getByRole('button', { name: 'Change the priority' }).click()
    await expectSoon(async () => (await app.jobs.get(id)).priority === -5)
    await page.getByRole('dialog').waitFor({ state: 'hidden' })
    await act('Cancel', 'Cancel this job')
    expect(await status()).toBe('cancelled')
    await act('Retry', 'Retry this job')
    await expectSoon(async () => (await status()) !== 'cancelled')
    await app.jobs.cancel(id)
    await expectSoon(async () => (await status()) === 'cancelled')
    await page.getByRole('button', { name: 'Delete', exact: true }).waitFor()
    await act('Delete', 'Delete this job')
    await expect(app.jobs.get(id)).rejects.toMatchObject({ code: 'TIDEMARK_UNKNOWN_JOB' })
    // The screen may have asked for it once more, before it was left.
    expect(complaints.splice(0).every((text) => text.includes('404'))).toBe(true)
  })

  test('what is done to many is done to exactly as many as it says, and to those that are filtered', async () => {
    const spawned: string[] = []
    for (const proposal of ['A', 'B', 'C']) {
      const { id } = await app.jobs.spawn(
        'approve_credit',
        { proposal },
        { delay: '1d', concurrencyKey: 'branch-9' },
      )
      spawned.push(id)
    }
    const other = await app.jobs.spawn('approve_credit', { proposal: 'D' }, { delay: '1d' })
    await open('jobs?concurrencyKey=branch-9')
    await act('Cancel …', 'Cancel 3 jobs')
    for (const id of spawned) expect((await app.jobs.get(id)).status).toBe('cancelled')
    expect((await app.jobs.get(other.id)).status).toBe('scheduled')
    await page.getByText('3 jobs are cancelled.').waitFor()
    await act('Delete …', 'Delete 3 jobs')
    expect(await app.jobs.list({ concurrencyKey: 'branch-9' })).toEqual([])
    await app.jobs.cancel(other.id)
  })

  test('a job is spawned from a form, and the schema refuses what it must', async () => {
    await open('queues/send_letter')
    await page.getByLabel('to (needed)').fill('Zoë')
    await page.getByRole('button', { name: 'Spawn', exact: true }).click()
    await page.getByRole('alert').getByText('template').first().waitFor()
    // A refusal is an answer, and the browser says so.
    expect(complaints.splice(0).join()).toContain('422')
    await page.getByLabel('template (needed)').selectOption('reminder')
    await page.getByLabel('copies').fill('3')
    await page.getByRole('button', { name: 'Spawn', exact: true }).click()
    await page.waitForURL(/#\/jobs\//u)
    const [job] = await app.jobs.list({ name: 'send_letter', limit: 1 })
    expect(job?.input).toEqual({ to: 'Zoë', template: 'reminder', copies: 3 })
    expect(page.url()).toContain(job?.id)
  })

  test('queues, types and schedules are paused and resumed, and a schedule is run', async () => {
    await open('queues')
    const row = page.getByRole('row', { name: /^clearing/u })
    await row.getByRole('button', { name: 'Pause' }).click()
    await page.getByRole('button', { name: 'Pause queue clearing' }).click()
    await row.getByText('paused').waitFor()
    expect((await app.jobs.pauses.list()).map(({ kind, name }) => [kind, name])).toEqual([
      ['queue', 'clearing'],
    ])
    await row.getByRole('button', { name: 'Resume' }).click()
    await page.getByRole('button', { name: 'Resume queue clearing' }).click()
    await row.getByText('active').waitFor()
    expect(await app.jobs.pauses.list()).toEqual([])
    await open('schedules/nightly_statements')
    await act('Pause', 'Pause nightly_statements')
    expect((await app.jobs.schedules.get('nightly_statements')).status).toBe('paused')
    await act('Resume', 'Resume nightly_statements')
    expect((await app.jobs.schedules.get('nightly_statements')).status).toBe('active')
    await act('Run now', 'Run nightly_statements now')
    const [job] = await app.jobs.list({ name: 'send_letter', limit: 1 })
    expect(job?.input).toMatchObject({ to: 'everybody' })
  })

  test('what is offered for a finding is done from the overview, and recorded', async () => {
    await open('')
    const asked = async (): Promise<number> =>
      (await app.audit.list({ action: 'retryDeadLetters', via: 'console' })).length
    const before = await asked()
    await act('Retry those of ledger.booking', 'Retry those of ledger.booking')
    expect(await asked()).toBe(before + 1)
    // They fail again, and are set aside again.
    await expectSoon(async () => {
      const letters = await app.deadLetters.list({ listener: 'ledger.booking' })
      return letters.length === 2 && letters.every(({ state }) => state === 'parked')
    })
  })

  test('the overview says what is wrong and leads there, and no more when it is mended', async () => {
    await open('')
    const finding = page.getByRole('listitem').filter({ hasText: 'authority.reporting has halted' })
    await finding.getByRole('link', { name: 'Show' }).click()
    await page.getByRole('heading', { level: 1, name: 'authority.reporting' }).waitFor()
    await page.getByText('the authority refused the report: amount').first().waitFor()
    await act('Skip event', 'Skip 1 event')
    await expectSoon(
      async () => (await app.listeners.get('authority.reporting')).status === 'active',
    )
    await open('audit?name=authority.reporting')
    await page.getByRole('cell', { name: /skipEvent/u }).waitFor()
    const letters = await app.deadLetters.list({ listener: 'authority.reporting' })
    expect(letters.map(({ state }) => state)).toEqual(['skipped'])
    await open('')
    await page.getByText('Published, in events a second').waitFor()
    await expectSoon(async () => (await finding.count()) === 0)
  })

  test('a listener is paused, resumed and reset; a projection is rebuilt and emptied', async () => {
    const status = async (name: string): Promise<string> => (await app.listeners.get(name)).status
    await open('listeners/notifications.welcome')
    await act('Pause', 'Pause notifications.welcome')
    expect(await status('notifications.welcome')).toBe('paused')
    await act('Resume', 'Resume notifications.welcome')
    expect(await status('notifications.welcome')).toBe('active')
    await open('listeners/ledger.booking')
    const epoch = (await app.deadLetters.list({ listener: 'ledger.booking' })).length
    await press('Reset')
    await page.getByLabel('Go on after sequence').fill('1')
    await page.getByRole('button', { name: 'Reset ledger.booking' }).click()
    await page.getByText('ledger.booking goes on after 1.').waitFor()
    expect(epoch).toBeGreaterThan(0)
    await open('listeners/dashboard')
    const read = async (): Promise<unknown> => (await app.projections.state('dashboard'))?.state
    const before = await read()
    await act('Rebuild', 'Rebuild dashboard')
    await expectSoon(async () => (await app.rebuilds.list()).length === 0)
    expect(await read()).toEqual(before)
    await act('Reset', 'Empty dashboard')
    await expectSoon(async () => JSON.stringify(await read()) === JSON.stringify(before))
    // Meanwhile it had no state, which is an answer, too.
    expect(complaints.splice(0).every((text) => text.includes('404'))).toBe(true)
  })

  test('the states of a projection are found by their keys', async () => {
    await open('listeners/balances')
    await page.getByLabel('Keys that begin with').fill('acc-3')
    await page.keyboard.press('Tab')
    const state = page.locator('details').filter({ hasText: 'acc-3' })
    await state.locator('summary').click()
    await state.getByText('شركة الشحن').first().waitFor()
    await expectSoon(async () => (await page.locator('main details').count()) === 1)
  })

  test('events are found by type, stream and what their payload holds, and one leads to what came of it', async () => {
    await open('events?stream=account-acc-2')
    await expectSoon(async () => (await page.getByRole('row').count()) === 1 + 4)
    await page.getByLabel('Payload has').fill('reference')
    await page.keyboard.press('Tab')
    await page.getByLabel('with the value').fill('INV-12')
    await page.keyboard.press('Tab')
    await expectSoon(async () => (await page.getByRole('row').count()) === 2)
    await open('events?type=accounts.opened&stream=account-acc-1')
    await page.getByRole('link', { name: 'accounts.opened' }).first().click()
    await page.getByRole('heading', { level: 1, name: 'accounts.opened' }).waitFor()
    const tree = page.getByRole('listitem').filter({ hasText: 'send_letter' })
    await tree.getByRole('link', { name: 'send_letter' }).click()
    await page.getByRole('heading', { level: 1, name: /send_letter/u }).waitFor()
  })

  test('what is typed stays, and a click counts, while the list comes anew under both', async () => {
    await open('events')
    const publish = async (reference: string): Promise<void> => {
      const payload = { accountId: 'acc-9', cents: 1n, reference }
      await app.publish(deposited(payload), { stream: 'account-acc-9' })
    }
    /** Waits until the list has something, or would have it. */
    const listed = async (reference: string): Promise<void> => {
      await page.waitForResponse(async (response) =>
        response.url().includes('/api/events?')
          ? (await response.text()).includes(reference)
          : false,
      )
      await page.evaluate(
        'new Promise((resolve) => requestAnimationFrame(() => setTimeout(resolve)))',
      )
    }
    const stream = page.getByLabel('Stream', { exact: true })
    await stream.pressSequentially('account-')
    await Promise.all([listed('INV-while-typing'), publish('INV-while-typing')])
    expect(await stream.inputValue()).toBe('account-')
    await stream.pressSequentially('acc-9')
    await page.keyboard.press('Tab')
    const links = page.getByRole('row').getByRole('link', { name: 'deposits.received' })
    await expectSoon(async () => (await links.count()) === 1)
    // A look is under way when the pointer is pressed, and answered before it is released.
    const asked = Promise.withResolvers<void>()
    const pressed = Promise.withResolvers<void>()
    await page.route('**/api/events?*', async (route) => {
      asked.resolve()
      await pressed.promise
      await route.continue()
    })
    await asked.promise
    await publish('INV-while-pressing')
    const to = await links.first().getAttribute('href')
    await links.first().hover()
    await page.mouse.down()
    const come = listed('INV-while-pressing')
    pressed.resolve()
    await come
    await page.mouse.up()
    await page.getByRole('heading', { level: 1, name: 'deposits.received' }).waitFor()
    expect(page.url()).toContain(to)
    await page.unroute('**/api/events?*')
  })

  test('dead letters are retried one by one, and given up by group', async () => {
    const states = async (): Promise<string[]> =>
      (await app.deadLetters.list({ listener: 'ledger.booking' })).map(({ state }) => state)
    await expectSoon(async () => (await states()).join() === 'parked,parked')
    const attempts = async (): Promise<number> => {
      const [letter] = await app.deadLetters.list({ listener: 'ledger.booking' })
      return letter?.attempts ?? 0
    }
    const tried = await attempts()
    await open(`dead-letters/ledger.booking/${await firstDeadLetter()}`)
    await act('Retry', 'Retry 1 dead letter')
    // It fails again, and is set aside again.
    await expectSoon(
      async () => (await attempts()) > tried && (await states()).join() === 'parked,parked',
    )
    await open('dead-letters?listener=ledger.booking')
    await act('Discard', 'Discard 2 dead letters')
    await expectSoon(async () => (await states()).join() === 'skipped,skipped')
  })

  test('the keyboard reaches the content, leaves a dialog, and lands on the screen that was chosen', async () => {
    await page.goto('about:blank')
    await open('jobs')
    await page.keyboard.press('Tab')
    await page.keyboard.press('Enter')
    await expect.poll(() => page.evaluate('document.activeElement?.id')).toBe('main')
    await press('Cancel …')
    await page.getByRole('dialog').waitFor()
    await page.keyboard.press('Escape')
    await page.getByRole('dialog').waitFor({ state: 'hidden' })
    await page.getByRole('link', { name: 'Schedules' }).focus()
    await page.keyboard.press('Enter')
    await page.getByRole('heading', { level: 1, name: 'Schedules' }).waitFor()
    await expect.poll(() => page.evaluate('document.activeElement?.id')).toBe('main')
  })

  test('in a read-only console no button that changes something can be pressed', async () => {
    await using quiet = await ServedConsole.start(createConsole(app, { readOnly: true }))
    const failed = await firstJob('settle_payments', 'failed')
    await page.goto(`${quiet.origin}/#/jobs/${failed}`)
    const retry = page.getByRole('button', { name: 'Retry', exact: true })
    await retry.waitFor()
    await page.getByText('read-only').waitFor()
    expect(await retry.isDisabled()).toBe(true)
    const answer = await page.request.post(`${quiet.origin}/api/jobs/${failed}/retry`, { data: {} })
    expect(answer.status()).toBe(403)
    expect((await app.jobs.get(failed)).status).toBe('failed')
    await page.goto('about:blank')
  })
})

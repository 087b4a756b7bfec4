import { readFile } from 'node:fs/promises'
import { createTestDatabase } from '@tidemark/testing'
import {
  defineApp,
  defineEvent,
  defineListener,
  defineProjection,
  errorCodes,
  isTidemarkError,
  silentLogger,
  type ErrorCode,
  type PublishOptions,
} from 'tidemark'
import { expect, test } from 'vitest'
import { z } from 'zod'
import { useFreshDatabase } from '../support/fresh-database.ts'
import { appOn } from '../support/test-app.ts'

const database = useFreshDatabase()
const page = new URL('../../docs/errors.md', import.meta.url)

const opened = defineEvent('accounts.opened', {
  payload: z.object({ amount: z.bigint() }),
})
const balances = defineListener('balances').on(opened, async () => {})

/** Checks that `wrong` fails as the page shows it, but for the numbers of the case. */
async function checkShown(code: ErrorCode, wrong: () => unknown): Promise<void> {
  const error = await Promise.resolve()
    .then(wrong)
    .then(
      () => undefined,
      (thrown: unknown) => thrown,
    )
  if (!isTidemarkError(error, code)) throw new Error(`not a ${code}: ${String(error)}`)
  await checkMessage(code, error.message)
}

async function checkMessage(code: ErrorCode, message: string): Promise<void> {
  const shown = `${code}: ${errorCodes[code].example}`
  expect(withoutNumbers(message)).toBe(withoutNumbers(shown))
  const [, section = ''] = (await readFile(page, 'utf8')).split(`\n## ${code}\n`)
  expect(section.split('\n## ')[0]).toContain(`\`\`\`text\n${shown}\n\`\`\``)
}

function withoutNumbers(text: string): string {
  return text.replaceAll(/\d+/gu, '#')
}

test('a bad event is shown with its error', async () => {
  await checkShown('TIDEMARK_INVALID_EVENT', () => opened({ amount: 1 as unknown as bigint }))
})

test('a wrong expectedVersion is shown with its error', async () => {
  await using app = appOn(database, [opened])
  const append = () =>
    app.publish(opened({ amount: 1n }), { stream: 'account-1', expectedVersion: 'none' })
  await append()
  await checkShown('TIDEMARK_STREAM_CONFLICT', append)
})

test('a second definition is shown with its error', async () => {
  const again = defineEvent('accounts.opened', {
    payload: z.object({ amount: z.bigint() }),
    version: 2,
    upcast: { 1: (payload: { amount: bigint }) => payload },
  })
  await checkShown('TIDEMARK_EVENT_REDEFINED', () => defineApp({ modules: [opened, again] }))
})

test('an unknown option is shown with its error', async () => {
  await using app = appOn(database, [opened])
  const options = { expectedversion: 1n } as PublishOptions
  await checkShown('TIDEMARK_INVALID_OPTION', () => app.publish(opened({ amount: 1n }), options))
})

test('a missing migration is shown with its error', async () => {
  await using empty = await createTestDatabase({ migrate: false })
  const count = defineProjection('count', { version: 1, initial: () => 0 }).on(opened, (n) => n + 1)
  await using app = defineApp({
    modules: [count],
    connectionString: empty.url,
    logger: silentLogger,
  })
  await checkShown('TIDEMARK_MIGRATION_REQUIRED', () => app.start())
})

test('a cursor beyond the sequence is shown with its error', async () => {
  await using app = appOn(database, [balances])
  const { sequence } = await app.publish(opened({ amount: 1n }))
  const runner = await app.start()
  await app.waitFor(balances, sequence)
  await runner.stop()
  await database.query('update tidemark.cursors set cursor = 500')
  await app.start()
  const waiting = app.waitFor(balances, (sequence + 1000n) as typeof sequence)
  await expect(waiting).rejects.toMatchObject({ code: 'TIDEMARK_LISTENER_HALTED' })
  const { partitions } = await app.listeners.get('balances')
  await checkMessage('TIDEMARK_CURSOR_AHEAD', partitions[0]?.lastError?.message ?? '')
})

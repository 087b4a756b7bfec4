import { assertSpawned, drain, drainJobs } from '@tidemark/testing'
import { useTestDatabase } from '@tidemark/testing/vitest'
import type { App } from 'tidemark'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { createApp } from '../app.ts'
import { migrate } from '../db/migrate.ts'
import * as accounts from './index.ts'

// A real Postgres: a database of this file's own, with Tidemark's tables and those of this application.
const database = useTestDatabase({ template: { key: 'app 1', prepare: migrate } })
let app: App

beforeEach(async () => {
  app = await createApp(database.url)
})
afterEach(() => app.close())

test('opening an account writes its row and its event together', async () => {
  await accounts.openAccount(app, 'a-1', 'ada@example.com')
  const { rows } = await database.query('select id, status from accounts')
  expect(rows).toEqual([{ id: 'a-1', status: 'open' }])

  // The account is there already: nothing commits, neither the row nor the event.
  await expect(accounts.openAccount(app, 'a-1', 'ada@example.com')).rejects.toThrow()
  const events = await Array.fromAsync(app.events())
  expect(events.map(({ type }) => type)).toEqual(['accounts.account_opened'])
})

test('the projection counts accounts', async () => {
  await app.publish(accounts.accountClosed({ accountId: 'a-1' }))
  await drain(app)
  expect(await app.read(accounts.openAccounts)).toEqual({ open: 0, everOpened: 1 })
})

test('the listener writes one letter and spawns one job, which sends it', async () => {
  await accounts.openAccount(app, 'a-2', 'bob@example.com')
  await drain(app)
  const { rows } = await database.query(`select text from letters where account_id = 'a-2'`)
  expect(rows).toEqual([{ text: 'Welcome' }])
  const [ada, bob] = [{ email: 'ada@example.com' }, { email: 'bob@example.com' }]
  await assertSpawned(app, accounts.sendWelcome, ada, bob)
  await drainJobs(app)
  const jobs = await app.jobs.list({ status: ['completed'] })
  expect(jobs.map(({ output }) => output)).toContainEqual({ text: 'Welcome, bob@example.com!' })
})

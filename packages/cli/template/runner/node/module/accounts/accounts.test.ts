import assert from 'node:assert/strict'
import { after, afterEach, before, beforeEach, test } from 'node:test'
import {
  assertSpawned,
  createTestDatabase,
  drain,
  drainJobs,
  type TestDatabase,
} from '@tidemark/testing'
import type { App } from 'tidemark'
import { createApp } from '../app.ts'
import { migrate } from '../db/migrate.ts'
import * as accounts from './index.ts'

// A real Postgres: a database of this file's own, with Tidemark's tables and those of this application.
let database: TestDatabase
let app: App

before(async () => {
  database = await createTestDatabase({ template: { key: 'app 1', prepare: migrate } })
})
after(() => database[Symbol.asyncDispose]())

beforeEach(async () => {
  app = await createApp(database.url)
})
afterEach(() => app.close())

test('opening an account writes its row and its event together', async () => {
  await accounts.openAccount(app, 'a-1', 'ada@example.com')
  const { rows } = await database.query('select id, status from accounts')
  assert.deepEqual(rows, [{ id: 'a-1', status: 'open' }])

  // The account is there already: nothing commits, neither the row nor the event.
  await assert.rejects(accounts.openAccount(app, 'a-1', 'ada@example.com'))
  const events = await Array.fromAsync(app.events())
  assert.deepEqual(
    events.map(({ type }) => type),
    ['accounts.account_opened'],
  )
})

test('the projection counts accounts', async () => {
  await app.publish(accounts.accountClosed({ accountId: 'a-1' }))
  await drain(app)
  assert.deepEqual(await app.read(accounts.openAccounts), { open: 0, everOpened: 1 })
})

test('the listener writes one letter and spawns one job, which sends it', async () => {
  await accounts.openAccount(app, 'a-2', 'bob@example.com')
  await drain(app)
  const { rows } = await database.query(`select text from letters where account_id = 'a-2'`)
  assert.deepEqual(rows, [{ text: 'Welcome' }])
  const [ada, bob] = [{ email: 'ada@example.com' }, { email: 'bob@example.com' }]
  await assertSpawned(app, accounts.sendWelcome, ada, bob)
  await drainJobs(app)
  const jobs = await app.jobs.list({ status: ['completed'] })
  const texts = jobs.map(({ output }) => (output as { text: string }).text)
  assert.deepEqual(texts.toSorted(), ['Welcome, ada@example.com!', 'Welcome, bob@example.com!'])
})

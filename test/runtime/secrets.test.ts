import { inspect } from 'node:util'
import {
  defineApp,
  defineJob,
  defineListener,
  isTidemarkError,
  migrateUp,
  type App,
} from 'tidemark'
import { expect, test } from 'vitest'
import { z } from 'zod'
import { noted } from '../support/effects.ts'
import { useFreshDatabase } from '../support/fresh-database.ts'
import { LogBook } from '../support/log-book.ts'

const database = useFreshDatabase()
const secret = 'not~to~be~seen'

/** The test database by a role of its own, whose password is the secret. */
async function secretUrl(): Promise<string> {
  const role = `secret_${database.name.slice(-8)}`
  await database.query(`CREATE ROLE ${role} LOGIN SUPERUSER PASSWORD '${secret}'`)
  const url = new URL(database.url)
  url.username = role
  url.password = secret
  return url.href
}

async function forget(): Promise<void> {
  await database.query(`DROP ROLE secret_${database.name.slice(-8)}`)
}

/** Each way in which people print things. */
function printed(value: unknown): string {
  const json = (): string => {
    try {
      return JSON.stringify(value) ?? ''
    } catch {
      return ''
    }
  }
  const deep = { depth: 12, showHidden: true, maxArrayLength: 1000, maxStringLength: 10_000 }
  return [
    json(),
    inspect(value),
    inspect(value, { ...deep, showHidden: false }),
    inspect(value, deep),
    inspect(value, { depth: 6, getters: true }),
    String(value instanceof Error ? value.stack : ''),
  ].join('\n')
}

test('none of the objects that an application works with shows a password, in no form', async () => {
  const url = await secretUrl()
  const logger = new LogBook()
  const shown: [string, unknown][] = []
  const listener = defineListener('reader').on(noted, async (_, context) => {
    shown.push(
      ['the context of a handler', context],
      ['its tx', context.tx],
      ['its db', context.db],
    )
  })
  const job = defineJob('secret_job', {
    input: z.object({}),
    run: async (running, context) => {
      shown.push(['a job', running], ['its context', context])
    },
  })
  {
    await using app: App = defineApp({
      connectionString: url,
      listenConnectionString: url,
      connection: { password: secret },
      logger,
      modules: [listener, job],
    })
    const runner = await app.start()
    const { sequence } = await app.publish(noted({ note: 'x' }))
    await app.waitFor(listener, sequence)
    const handle = await app.jobs.spawn(job, {})
    await handle.result()
    await app.transaction(async (tx) => {
      shown.push(['a transaction', tx], ['its db', tx.db])
    })
    shown.push(
      ['the application', app],
      ['its options', app.options],
      ['a copy of it', { app, options: app.options }],
      ['its db', app.db],
      ['its jobs', app.jobs],
      ['its listeners', app.listeners],
      ['its outbox', app.outbox],
      ['the runner', runner],
      ['a handle', handle],
      ['the log', logger.entries],
    )
    // What is spread goes on working: it is the same options.
    await using copy = defineApp({ ...app.options })
    expect(await Array.fromAsync(copy.events())).toHaveLength(1)
  }
  for (const [what, value] of shown) {
    expect(printed(value).includes(secret), `${what} shows it`).toBe(false)
  }
  expect(shown.length).toBeGreaterThan(14)
  await forget()
})

test('no error shows a password: of a server that is away, of a wrong one, of a string that is none', async () => {
  const logger = new LogBook()
  const refused = new URL(database.url)
  refused.username = 'nobody_at_all'
  refused.password = secret
  const away = `postgres://someone:${secret}@127.0.0.1:1/db`
  for (const connectionString of [refused.href, away]) {
    await using app = defineApp({ connectionString, logger, modules: [noted] })
    const errors = await Promise.allSettled([
      app.publish(noted({ note: 'x' })),
      app.start(),
      migrateUp({ connectionString }),
      app.transaction(async (tx) => tx.query('SELECT 1')),
    ])
    for (const outcome of errors) {
      expect(outcome.status).toBe('rejected')
      expect(printed((outcome as PromiseRejectedResult).reason)).not.toContain(secret)
    }
  }
  for (const connectionString of [
    `postgres://u:${secret}@[::1/db`,
    `postgres://u:${secret}%zz@h:port/db`,
    `host=localhost user=u password=${secret}`,
  ]) {
    let error: unknown
    try {
      defineApp({ connectionString, logger, modules: [noted] })
    } catch (caught) {
      error = caught
    }
    expect(error).toMatchObject({ code: 'TIDEMARK_INVALID_OPTION' })
    expect(printed(error)).not.toContain(secret)
  }
  expect(printed(logger.entries)).not.toContain(secret)
})

test('a connection string in the place of something else is refused, and not repeated', () => {
  const url = `postgres://someone:${secret}/with@more@127.0.0.1:1/db`
  const misplaced: readonly object[] = [
    { schema: url },
    { connection: url },
    { pool: url },
    { logger: url },
    { modules: url },
    { publishQueue: { events: url } },
    { jobs: { write: url } },
  ]
  for (const options of misplaced) {
    let error: unknown
    try {
      defineApp({ modules: [noted], ...options })
    } catch (caught) {
      error = caught
    }
    expect(error).toSatisfy(isTidemarkError)
    expect(printed(error)).not.toContain(secret)
  }
})

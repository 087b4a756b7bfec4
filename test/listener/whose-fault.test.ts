import pg from 'pg'
import {
  defineEntity,
  defineEvent,
  defineJob,
  defineListener,
  defineProjection,
  type App,
  type HandlerContext,
} from 'tidemark'
import { expect, test } from 'vitest'
import { z } from 'zod'
import { noted, notesOf, recordEffect } from '../support/effects.ts'
import { useFreshDatabase } from '../support/fresh-database.ts'
import { appOn } from '../support/test-app.ts'

const database = useFreshDatabase()
const quick = { leaseDuration: 5_000, acquireInterval: 50, handleSignals: false }

type Deed = (context: HandlerContext, times: number) => unknown

/** A listener that does something at the note "bad", and passes what it fails at after two attempts. */
function doing(name: string, deed: Deed) {
  let times = 0
  return defineListener(name, {
    onFailure: 'skip',
    retry: { attempts: 2, backoff: () => 1 },
  }).on(noted, async (event, context) => {
    await recordEffect(context.tx, name, event)
    if (event.payload.note === 'bad') await deed(context, (times += 1))
  })
}

async function publishNotes(app: App) {
  await app.publish(['a', 'bad', 'b'].map((note) => noted({ note })))
  return (await app.publish(noted({ note: 'last' }))).sequence
}

async function outcomesOf(app: App) {
  const letters = await app.deadLetters.list({})
  return letters.map(({ listener, attempts }) => `${listener} ${attempts}`).toSorted()
}

test('what a handler makes up is its own failure, whatever it looks like', async () => {
  const made: Record<string, () => unknown> = {
    'a-plain-object': () => ({ code: '53100' }),
    'an-error': () => Object.assign(new Error('no such table'), { code: '42P01' }),
    'a-cause': () => new Error('x', { cause: { code: '53300', message: 'too many' } }),
    'a-conflict': () => Object.assign(new Error('again'), { code: '40001' }),
    'a-shutdown': () => Object.assign(new Error('bye'), { code: '57P01' }),
    'a-lost-connection': () => new Error('Connection terminated unexpectedly'),
    'a-privilege': () => Object.freeze({ name: 'AccessDenied', code: '42501', message: 'no' }),
  }
  const listeners = Object.entries(made).map(([name, make]) =>
    doing(name, () => {
      throw make()
    }),
  )
  await using app = appOn(database, listeners)
  const last = await publishNotes(app)
  await app.start(quick)
  for (const name of Object.keys(made)) {
    await app.waitFor(name, last, { timeout: 30_000 })
    expect(await notesOf(database, name)).toEqual(['a', 'b', 'last'])
  }
  expect(await outcomesOf(app)).toEqual(
    Object.keys(made)
      .map((name) => `${name} 2`)
      .toSorted(),
  )
})

test('neither is it the server’s trouble when a reducer makes it up', async () => {
  const options = { onFailure: 'skip', retry: { attempts: 2, backoff: () => 1 } } as const
  const fail = (note: string): void => {
    if (note === 'bad') throw Object.assign(new Error('made up'), { code: '53100' })
  }
  const state = defineProjection('state', { version: 1, ...options, initial: () => 0 }).on(
    noted,
    (count, { payload }) => {
      fail(payload.note)
      return count + 1
    },
  )
  const keyed = defineProjection('keyed', {
    version: 1,
    keyed: true,
    ...options,
    initial: () => 0,
  }).on(
    noted,
    (count, { payload }) => {
      fail(payload.note)
      return count + 1
    },
    { key: () => 'all' },
  )
  await using app = appOn(database, [state, keyed])
  const last = await publishNotes(app)
  await app.start(quick)
  await app.waitFor(['state', 'keyed'], last, { timeout: 30_000 })
  expect(await outcomesOf(app)).toEqual(['keyed 2', 'state 2'])
})

test('what another server says is the event’s failure', async () => {
  const elsewhere = new pg.Client({ connectionString: database.url })
  await elsewhere.connect()
  const listener = doing('asks', () => elsewhere.query('select from nowhere'))
  await using app = appOn(database, [listener])
  const last = await publishNotes(app)
  await app.start(quick)
  await app.waitFor('asks', last, { timeout: 30_000 })
  await elsewhere.end()
  expect(await outcomesOf(app)).toEqual(['asks 2'])
})

test('a statement with another number of parameters than it has is whose it is', async () => {
  const few: Deed = ({ tx }) => tx.query('select $1::text, $2::text', ['one'])
  const many: Deed = ({ tx }) => tx.query('select 1', ['one'])
  const job = defineJob('few', {
    input: z.object({}),
    retry: { attempts: 2, backoff: () => 1 },
    run: async (_, ctx) => {
      await ctx.transaction(({ tx }) => tx.query('select $1::text, $2::text', ['one']))
    },
  })
  await using app = appOn(database, [doing('few', few), doing('many', many), job])
  const last = await publishNotes(app)
  const spawned = await app.jobs.spawn(job, {})
  await app.start(quick)
  await app.waitFor(['few', 'many'], last, { timeout: 30_000 })
  expect(await outcomesOf(app)).toEqual(['few 2', 'many 2'])
  await expect(spawned.result({ timeout: '30s' })).rejects.toMatchObject({
    code: 'TIDEMARK_JOB_FAILED',
  })
})

test('what comes of a session that the handler has altered is its own failure', async () => {
  const role = `limited_${database.schema}_${process.pid}`
  await database.query(`create role "${role}"; create table busy (id integer)`)
  const holder = new pg.Client({ connectionString: database.url })
  holder.on('error', () => {})
  await holder.connect()
  await holder.query('begin; lock table busy')
  const deeds: Record<string, Deed> = {
    path: async ({ tx }) => {
      await tx.query('set search_path to elsewhere')
      await tx.query('select from effects')
    },
    'path-by-function': async ({ tx }) => {
      await tx.query(`select set_config('search_path', 'elsewhere', true)`)
      await tx.query('select from effects').catch((cause: unknown) => {
        throw new Error('wrapped', { cause })
      })
    },
    role: async ({ tx }) => {
      await tx.query(`-- as the tenant\nset local role "${role}"`)
      await tx.query('insert into effects (listener, sequence) values (1, 1)')
    },
    'role-left-behind': async ({ tx, publish }) => {
      publish(noted({ note: 'never' }))
      await tx.query(`set role "${role}"`)
    },
    mode: async ({ tx }) => {
      await tx.query('set transaction read only')
      await tx.query('insert into effects (listener, sequence) values (1, 1)').catch(() => {})
    },
    patience: async ({ tx }) => {
      await tx.query(`set local lock_timeout = '1ms'`)
      await tx.query('select from busy')
    },
  }
  await using app = appOn(
    database,
    Object.entries(deeds).map(([name, deed]) => doing(name, deed)),
  )
  const last = await publishNotes(app)
  await app.start(quick)
  for (const name of Object.keys(deeds)) {
    await app.waitFor(name, last, { timeout: 30_000 })
    expect(await notesOf(database, name)).toEqual(['a', 'b', 'last'])
  }
  await holder.end()
  await database.query(`drop role "${role}"`)
  expect(await outcomesOf(app)).toEqual(
    Object.keys(deeds)
      .map((name) => `${name} 2`)
      .toSorted(),
  )
})

test('the server’s trouble is recognised in whatever an application makes of it', async () => {
  const raise = `do $$ begin raise exception 'full' using errcode = '53100'; end $$`
  const deeds: Record<string, (app: () => App) => Deed> = {
    coded:
      () =>
      async ({ tx }) => {
        await tx.query(raise).catch((cause: unknown) => {
          throw Object.assign(new Error('storage', { cause }), { code: 'STORAGE' })
        })
      },
    copied:
      () =>
      async ({ tx }) => {
        await tx.query(raise).catch((error: unknown) => {
          throw Object.assign(new Error('copied'), { code: (error as { code: string }).code })
        })
      },
    'on-another-connection': (app) => async () => {
      await app().transaction((tx) => tx.query(raise))
    },
    'of-the-pool': (app) => async () => {
      await app().transaction(async ({ query }) => {
        await query(raise).catch((cause: unknown) => {
          throw new Error('wrapped', { cause })
        })
      })
    },
  }
  let app: App | undefined
  const own = (): App => app as App
  const listeners = Object.entries(deeds).map(([name, deed]) =>
    doing(name, async (context, times) => {
      if (times <= 3) await deed(own)(context, times)
    }),
  )
  await using running = appOn(database, listeners)
  app = running
  const last = await publishNotes(running)
  await running.start(quick)
  for (const name of Object.keys(deeds)) {
    await running.waitFor(name, last, { timeout: 30_000 })
    expect(await notesOf(database, name)).toEqual(['a', 'bad', 'b', 'last'])
  }
  expect(await outcomesOf(running)).toEqual([])
})

test('a dead letter that always ends its session is parked again, and the events behind it go on', async () => {
  let ending = false
  const ends = doing('ends', async ({ tx }) => {
    if (!ending) throw new Error('at first')
    await tx.query('select pg_terminate_backend(pg_backend_pid())')
  })
  await using app = appOn(database, [ends])
  const last = await publishNotes(app)
  await app.start(quick)
  await app.waitFor('ends', last, { timeout: 20_000 })
  const [letter] = await app.deadLetters.list({})
  ending = true
  await app.deadLetters.retry({ listener: 'ends', sequence: letter!.sequence })
  const next = await app.publish(noted({ note: 'next' }))
  await app.waitFor('ends', next.sequence, { timeout: 40_000 })
  expect(await app.deadLetters.list({})).toMatchObject([
    { state: 'parked', error: { code: 'TIDEMARK_EVENT_LOSES_CONNECTION' } },
  ])
})

test('a process that is too old for what its handler reads leaves the event, however the error is wrapped', async () => {
  const old = defineEvent('test.stored', { payload: z.object({ id: z.string() }) })
  const young = defineEvent('test.stored', {
    version: 2,
    payload: z.object({ id: z.string(), more: z.string() }),
    upcast: { 1: (before: { id: string }) => ({ ...before, more: '' }) },
  })
  const things = (stored: typeof old) =>
    defineEntity('thing', { initial: () => 0 }).on(stored, (count) => count + 1)
  const reading = (app: () => App, stored: typeof old) =>
    doing('reads', async () => {
      await app()
        .load(things(stored), 'x')
        .catch((cause: unknown) => {
          throw new Error('cannot load', { cause })
        })
    })
  const apps: App[] = []
  await using older = appOn(database, [reading(() => apps[0] as App, old)])
  await using newer = appOn(database, [reading(() => apps[1] as App, young as never)])
  apps.push(older, newer)
  await newer.decide(things(young as never), 'x', () => young({ id: 'x', more: 'y' }) as never)
  const last = await publishNotes(older)
  const running = await older.start(quick)
  await expect
    .poll(async () => (await older.listeners.get('reads')).partitions[0]?.lastError, {
      timeout: 20_000,
    })
    .not.toBeNull()
  await running.stop()
  await newer.start(quick)
  await newer.waitFor('reads', last, { timeout: 30_000 })
  expect(await notesOf(database, 'reads')).toEqual(['a', 'bad', 'b', 'last'])
  expect(await outcomesOf(newer)).toEqual([])
})

test('a password that is changed while events wait is no event’s failure', async () => {
  const role = `rotated_${database.name.slice(-8)}`
  await database.query(`create role ${role} login superuser password 'first'`)
  const url = new URL(database.url)
  url.username = role
  url.password = 'first'
  const listener = doing('rotated', async () => {})
  await using app = appOn({ url: url.href, schema: database.schema }, [listener])
  await using publisher = appOn(database, [noted])
  await app.start(quick)
  const { sequence } = await publisher.publish(noted({ note: 'before' }))
  await publisher.waitFor('rotated', sequence, { timeout: 20_000 })
  await database.query(`alter role ${role} password 'second'`)
  await database.query(
    `select pg_terminate_backend(pid) from pg_stat_activity where usename = '${role}'`,
  )
  for (const note of ['a', 'b', 'c']) await publisher.publish(noted({ note }))
  const last = await publisher.publish(noted({ note: 'last' }))
  // It has failed to connect for some time when it is let in again.
  await database.query('select pg_sleep(1)')
  await database.query(`alter role ${role} password 'first'`)
  await publisher.waitFor('rotated', last.sequence, { timeout: 40_000 })
  expect(await notesOf(database, 'rotated')).toEqual(['before', 'a', 'b', 'c', 'last'])
  expect(await outcomesOf(app)).toEqual([])
  await app.close()
  await database.query(`drop role ${role}`)
})

test.each([
  ['28P01', 'invalid_password'],
  ['28000', 'invalid_authorization_specification'],
  ['3D000', 'invalid_catalog_name'],
  ['CERT_HAS_EXPIRED', 'a certificate'],
])('a connection that cannot be made is no event’s failure: %s', async (code) => {
  const pool = new pg.Pool({ connectionString: database.url, max: 5 })
  pool.on('error', () => {})
  let refusing = 0
  const source = async (): Promise<pg.PoolClient> => {
    if (refusing-- > 0) throw Object.assign(new Error('refused'), { code })
    return pool.connect()
  }
  const listener = doing('refused', async () => {})
  {
    await using app = appOn(database, [listener], { pool: source })
    await using publisher = appOn(database, [noted])
    await app.start(quick)
    const { sequence } = await publisher.publish(noted({ note: 'before' }))
    await publisher.waitFor('refused', sequence, { timeout: 20_000 })
    refusing = 12
    for (const note of ['a', 'b', 'c']) await publisher.publish(noted({ note }))
    const last = await publisher.publish(noted({ note: 'last' }))
    await publisher.waitFor('refused', last.sequence, { timeout: 40_000 })
    expect(await notesOf(database, 'refused')).toEqual(['before', 'a', 'b', 'c', 'last'])
    expect(await outcomesOf(publisher)).toEqual([])
  }
  await pool.end()
})

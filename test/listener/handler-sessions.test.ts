import { defineListener, defineProjection, type HandlerContext, type RecordedEvent } from 'tidemark'
import { describe, expect, test } from 'vitest'
import { effectsOf, noted, notesOf, recorder, recordEffect } from '../support/effects.ts'
import { useFreshDatabase } from '../support/fresh-database.ts'
import { LogBook } from '../support/log-book.ts'
import { appOn } from '../support/test-app.ts'

const database = useFreshDatabase()
const quick = { leaseDuration: 5_000, handleSignals: false }

type Deed = (context: HandlerContext, event: RecordedEvent) => Promise<unknown>

/** A listener that does something to its transaction at one note, and records every event. */
function doing(deed: Deed) {
  return defineListener('ledger', {
    retry: { attempts: 2, backoff: () => 10 },
    onFailure: 'skip',
  }).on(noted, async (event, context) => {
    await recordEffect(context.tx, 'ledger', event)
    if (event.payload.note === 'bad') await deed(context, event)
  })
}

const control: readonly (readonly [string, Deed])[] = [
  ['COMMIT', ({ tx }) => tx.query('commit')],
  ['COMMIT behind a comment', ({ tx }) => tx.query('/* x */ -- y\n commit')],
  ['COMMIT among others', ({ tx }) => tx.query('select 1; commit; select 2')],
  ['ROLLBACK', ({ tx }) => tx.query('rollback')],
  ['ABORT', ({ tx }) => tx.query('abort')],
  ['END', ({ tx }) => tx.query('end')],
  ['BEGIN after COMMIT', ({ tx }) => tx.query('commit; begin')],
  ['PREPARE TRANSACTION', ({ tx }) => tx.query(`prepare transaction 'x'`)],
  ['a sent COMMIT', async ({ send }) => send('commit')],
  ['a sent ROLLBACK', async ({ send }) => send('rollback and chain')],
  ['COMMIT, swallowed', ({ tx }) => tx.query('commit').catch(() => {})],
  ['ROLLBACK, swallowed', ({ tx }) => tx.query('rollback').catch(() => {})],
  [
    'a procedure that commits',
    async ({ tx }) => {
      await tx.query(
        `create or replace procedure public.committing() language plpgsql as 'begin commit; end'`,
      )
      await tx.query('call public.committing()')
    },
  ],
  [
    'COMMIT and an error',
    async ({ tx }) => {
      await tx.query('commit')
      throw new Error('later')
    },
  ],
]

describe('a handler cannot let go of the fence', () => {
  test.each(control)('%s', async (_, deed) => {
    await using app = appOn(database, [doing(deed), recorder('neighbour')])
    await app.publish(['a', 'b', 'bad', 'c', 'd'].map((note) => noted({ note })))
    const { sequence } = await app.publish(noted({ note: 'last' }))
    await app.start(quick)
    await app.waitFor(['ledger', 'neighbour'], sequence, { timeout: 30_000 })
    // What it reports and what committed agree: the event was skipped, and has no effect; the others have one each.
    expect(await notesOf(database, 'ledger')).toEqual(['a', 'b', 'c', 'd', 'last'])
    expect(await effectsOf(database, 'neighbour')).toHaveLength(6)
    const { rows } = await database.query('select * from pg_prepared_xacts')
    expect(rows).toEqual([])
    const [letter] = await app.deadLetters.list({ listener: 'ledger' })
    expect(letter).toMatchObject({ state: 'skipped' })
  })

  test('in transaction() it is refused as well', async () => {
    await using app = appOn(database, [noted])
    await expect(
      app.transaction(async (tx) => {
        tx.publish(noted({ note: 'never' }))
        await tx.query(`insert into effects (listener, sequence) values ('x', 1)`)
        await tx.query('commit').catch(() => {})
      }),
    ).rejects.toMatchObject({ code: 'TIDEMARK_TRANSACTION_CONTROL' })
    expect(await effectsOf(database, 'x')).toEqual([])
    const { rows } = await database.query('select * from tidemark.events')
    expect(rows).toEqual([])
  })
})

test('an inline projection cannot end its publisher’s transaction', async () => {
  await database.query('create table tallies (n integer)')
  const inline = defineProjection('tallies', {
    version: 1,
    mode: 'inline',
    tables: ['tallies'],
  }).on(noted, async (event, { tx }) => {
    await tx.query('insert into tallies values (1)')
    if (event.payload.note === 'bad') await tx.query('commit').catch(() => {})
  })
  await using app = appOn(database, [inline])
  await expect(app.publish(noted({ note: 'bad' }))).rejects.toMatchObject({
    code: 'TIDEMARK_TRANSACTION_CONTROL',
  })
  await app.publish(noted({ note: 'good' }))
  const { rows } = await database.query(
    'select (select count(*)::integer from tallies) as rows, (select count(*)::integer from tidemark.events) as events',
  )
  expect(rows).toEqual([{ rows: 1, events: 1 }])
})

test('a savepoint of the handler’s own works', async () => {
  const listener = defineListener('ledger').on(noted, async (event, { tx }) => {
    await tx.query('savepoint mine')
    await tx.query('select 1 / 0').catch(() => tx.query('rollback to savepoint mine'))
    await recordEffect(tx, 'ledger', event)
  })
  await using app = appOn(database, [listener])
  const { sequence } = await app.publish(noted({ note: 'one' }))
  await app.start(quick)
  await app.waitFor('ledger', sequence, { timeout: 30_000 })
  expect(await effectsOf(database, 'ledger')).toHaveLength(1)
})

test('a statement that was not awaited belongs to the batch, and its listener is named', async () => {
  const log = new LogBook()
  const listener = defineListener('hasty').on(noted, (event, { tx }) => {
    void recordEffect(tx, 'hasty', event)
  })
  await using app = appOn(database, [listener], { logger: log })
  const { sequence } = await app.publish(noted({ note: 'one' }))
  await app.start(quick)
  await app.waitFor('hasty', sequence, { timeout: 30_000 })
  expect(await effectsOf(database, 'hasty')).toHaveLength(1)
  expect(await log.wrote(/hasty returned before its statements/u)).toMatchObject({ level: 'error' })
})

const traces: readonly (readonly [string, string, string, string])[] = [
  ['search_path', `set search_path to elsewhere`, `show search_path`, '"$user", public'],
  [
    'search_path by a function',
    `select set_config('search_path', 'elsewhere', false)`,
    `show search_path`,
    '"$user", public',
  ],
  ['a setting', `set work_mem = '1MB'`, `show work_mem`, '4MB'],
  [
    'the time zone',
    `set time zone 'Asia/Tokyo'`,
    `select count(*)::text from pg_settings where name = 'TimeZone' and setting = 'Asia/Tokyo'`,
    '0',
  ],
  [
    'the default isolation',
    `set session characteristics as transaction isolation level serializable`,
    `show default_transaction_isolation`,
    'read committed',
  ],
  ['a role', `set role pg_monitor`, `select (current_user = session_user)::text`, 'true'],
  [
    'a temporary table',
    `create temporary table if not exists effects (listener text, sequence bigint, process text)`,
    `select count(*)::text from pg_class where relname = 'effects' and relnamespace = pg_my_temp_schema()`,
    '0',
  ],
  [
    'a cursor',
    `declare held cursor with hold for select 1`,
    `select count(*)::text from pg_cursors`,
    '0',
  ],
  [
    'a session lock',
    `select pg_advisory_lock(4711)`,
    `select count(*)::text from pg_locks where locktype = 'advisory' and objid = 4711 and pid = pg_backend_pid()`,
    '0',
  ],
  [
    'a prepared statement',
    `prepare mine as select 1`,
    `select count(*)::text from pg_prepared_statements where name = 'mine'`,
    '0',
  ],
  [
    'a prepared statement, made unseen',
    `do $$ begin execute 'prepare mine as select 1'; end $$`,
    `select count(*)::text from pg_prepared_statements where name = 'mine'`,
    '0',
  ],
  [
    'a setting of the application’s own, made unseen',
    `do $$ begin perform set_config('app.tenant', '7', false); end $$`,
    `select coalesce(nullif(current_setting('app.tenant', true), ''), 'none')`,
    'none',
  ],
  ['LISTEN', `listen somewhere`, `select count(*)::text from pg_listening_channels()`, '0'],
]

describe('nothing that a handler does to its session outlives its batch', () => {
  test.each(traces)('%s', async (_, deed, look, clean) => {
    const seen: string[] = []
    // One connection for both, so that whatever one leaves the other would find.
    const leaking = defineListener('leaking').on(noted, async (_event, { tx }) => {
      await tx.query(deed)
    })
    const innocent = defineListener('innocent').on(noted, async (event, { tx }) => {
      const { rows } = await tx.query(look)
      seen.push(String(Object.values(rows[0] ?? {})[0]))
      await tx.query('insert into public.effects (listener, sequence) values ($1, $2)', [
        'innocent',
        event.sequence,
      ])
    })
    await using app = appOn(database, [leaking, innocent], { maxConnections: 4 })
    await app.start(quick)
    for (let round = 0; round < 12; round++) {
      const { sequence } = await app.publish(noted({ note: `n${round}` }))
      await app.waitFor(['leaking', 'innocent'], sequence, { timeout: 30_000 })
    }
    expect(new Set(seen)).toEqual(new Set([clean]))
    expect(await effectsOf(database, 'innocent')).toHaveLength(12)
  })

  test('nor what transaction() does to it', async () => {
    await using app = appOn(database, [noted], { maxConnections: 4 })
    const paths = new Set<unknown>()
    for (let round = 0; round < 8; round++) {
      await app.transaction((tx) => tx.query('set search_path to elsewhere'))
      await app.transaction(async (tx) => {
        const { rows } = await tx.query('show search_path')
        paths.add(rows[0]?.['search_path'])
      })
    }
    expect(paths).toEqual(new Set(['"$user", public']))
  })
})

test.for([
  'deallocate all',
  // By its effect only.
  `do $$ begin execute 'DEALLO' || 'CATE ALL'; end $$`,
])(
  'a handler that takes the prepared statements of its session harms no other: %s',
  async (text) => {
    const taking = defineListener('taking').on(noted, async (_, { tx }) => {
      await tx.query(text)
    })
    const logger = new LogBook()
    const innocent = recorder('innocent')
    await using app = appOn(database, [taking, innocent], { logger })
    await app.start({ handleSignals: false })
    for (let n = 0; n < 10; n++) {
      const { sequence } = await app.publish(noted({ note: 'n' }))
      await app.waitFor(taking, sequence)
      await app.waitFor(innocent, sequence)
    }
    expect(await effectsOf(database, 'innocent')).toHaveLength(10)
    expect(await app.deadLetters.list()).toEqual([])
  },
)

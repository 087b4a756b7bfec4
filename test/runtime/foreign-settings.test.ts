import pg from 'pg'
import {
  defineEntity,
  defineEvent,
  defineJob,
  defineProjection,
  type RecordedEvent,
} from 'tidemark'
import { afterEach, expect, test } from 'vitest'
import { z } from 'zod'
import { effectsOf, noted, recorder } from '../support/effects.ts'
import { useFreshDatabase } from '../support/fresh-database.ts'
import { appOn } from '../support/test-app.ts'

// What the application sets for its driver, and an administrator for a database, does not reach Tidemark's connections.

const database = useFreshDatabase()
const types = [...Object.values(pg.types.builtins), 1000, 1007, 1009, 1016, 1185, 2951, 3807]
const before = new Map(types.map((type) => [type, pg.types.getTypeParser(type)]))
afterEach(() => {
  for (const [type, parser] of before) pg.types.setTypeParser(type, parser)
})

const counted = defineEvent('settings.counted', { payload: z.object({ by: z.number() }) })
const counter = defineEntity('settings_counter', { initial: () => 0 }).on(
  counted,
  (state: number, { payload }) => state + payload.by,
)

const counting = defineJob('settings_job', {
  input: z.object({ at: z.date(), by: z.bigint() }),
  run: async ({ input }, ctx) => ({
    ...input,
    step: await ctx.step('step', () => new Set([1])),
  }),
})

/** Publishes, handles, projects and decides, and looks at what came of it. */
async function everythingOf(): Promise<unknown> {
  const seen: RecordedEvent[] = []
  const listener = recorder('settings')
  const state = defineProjection('settings_state', {
    version: 1,
    initial: () => [] as string[],
  }).on(noted, (all, event) => {
    seen.push(event)
    return [...all, event.payload.note]
  })
  await using app = appOn(database, [listener, state, counted, counting])
  await app.start({ handleSignals: false })
  const { sequence } = await app.publish(noted({ note: 'one' }))
  await app.waitFor(listener, sequence)
  await app.waitFor(state, sequence)
  expect(await effectsOf(database, 'settings')).toEqual([sequence])
  expect(await app.read(state)).toEqual(['one'])
  expect(Math.abs((seen[0]?.recordedAt.getTime() ?? 0) - Date.now())).toBeLessThan(120_000)
  const handle = await app.jobs.spawn(counting, { at: new Date(5), by: 2n ** 70n })
  expect(await handle.result()).toEqual({ at: new Date(5), by: 2n ** 70n, step: new Set([1]) })
  expect(await app.jobs.get(handle.id)).toMatchObject({
    status: 'completed',
    createdAt: expect.any(Date) as Date,
  })
  const decisions = Array.from({ length: 6 }, () =>
    app.decide(counter, 'c', () => [counted({ by: 1 })], { attempts: 20 }),
  )
  await Promise.all(decisions)
  return (await app.load(counter, 'c')).state
}

test('everything works whatever a database sets for its sessions', async () => {
  const settings: Record<string, string> = {
    datestyle: 'German, DMY',
    intervalstyle: 'iso_8601',
    extra_float_digits: '-15',
    standard_conforming_strings: 'off',
    bytea_output: 'escape',
    timezone: 'Asia/Kathmandu',
    default_transaction_isolation: 'repeatable read',
    idle_session_timeout: '300ms',
    idle_in_transaction_session_timeout: '1ms',
    lock_timeout: '1ms',
    client_encoding: 'LATIN1',
    array_nulls: 'off',
    'plpgsql.extra_errors': 'all',
    'plpgsql.variable_conflict': 'use_variable',
    debug_parallel_query: 'regress',
    exit_on_error: 'on',
  }
  // Only where the server has it.
  const { rows } = await database.query(
    `select name from pg_settings where name = 'restrict_nonsystem_relation_kind'`,
  )
  for (const { name } of rows) settings[String(name)] = 'view'
  for (const [name, value] of Object.entries(settings)) {
    await database.query(`alter database ${database.name} set ${name} = '${value}'`, [])
  }
  expect(await everythingOf()).toBe(6)
})

test('everything works whatever parsers the application has set for all of its connections', async () => {
  for (const type of types) pg.types.setTypeParser(type, () => 'nonsense')
  pg.types.setTypeParser(20, Number)
  pg.types.setTypeParser(23, (text: string) => `int ${text}`)
  pg.types.setTypeParser(114, (text: string) => text)
  pg.types.setTypeParser(1184, () => 'never')
  pg.types.setTypeParser(3802, (text: string) => text)
  expect(await everythingOf()).toBe(6)
})

test('settings that the application asks for in its connection options stay', async () => {
  await using app = appOn(database, [], { connection: { statement_timeout: 4321 } })
  const shown = async (): Promise<unknown> =>
    (
      await app.transaction(async (tx) => {
        const { rows } = await tx.query("select current_setting('statement_timeout') as timeout")
        return rows[0]?.['timeout']
      })
    ).result
  expect(await shown()).toBe('4321ms')
  // The session has been cleaned in between.
  expect(await shown()).toBe('4321ms')
})

test('a session of a given pool keeps what the application has set, and is closed when a transaction changes it', async () => {
  const pool = new pg.Pool({ connectionString: database.url, max: 4 })
  pool.on('connect', (client) => void client.query("set work_mem = '3MB'"))
  const app = appOn(database, [], { pool })
  const shown = async (change = 'select 1'): Promise<unknown> => {
    const { result } = await app.transaction(async (tx) => {
      const { rows } = await tx.query("select current_setting('work_mem') as memory")
      await tx.query(change)
      return rows[0]?.['memory']
    })
    return result
  }
  const changes = ["set work_mem = '1MB'", "select set_config('work_mem', '1MB', false)"]
  const all: unknown[] = []
  for (const change of [...changes, 'select pg_advisory_lock(4711)', 'select 1'])
    all.push(await shown(change))
  expect(all).toEqual(['3MB', '3MB', '3MB', '3MB'])
  // The server ends the session when it has read that it is over.
  const held = async (): Promise<unknown[]> => {
    const { rows } = await pool.query(
      "select pid from pg_locks where locktype = 'advisory' and objid = 4711",
    )
    return rows
  }
  await expect.poll(held, { timeout: 30_000 }).toEqual([])
  await app.close()
  await pool.end()
})

test('the connection that listens is not ended for being idle, and no session waits for hours for a host that vanished', async () => {
  for (const setting of ["idle_session_timeout = '100ms'", 'tcp_user_timeout = 0']) {
    await database.query(`alter database ${database.name} set ${setting}`, [])
  }
  await using app = appOn(database, [recorder('settings')])
  await app.start({ handleSignals: false })
  const listening = async (): Promise<unknown[]> => {
    const { rows } = await database.query(
      `select pid from pg_stat_activity where datname = current_database() and query ~* '^(listen|notify|select pg_notify)'`,
    )
    return rows
  }
  await expect.poll(listening).toHaveLength(1)
  const first = await listening()
  await database.query('select pg_sleep(0.5)')
  expect(await listening()).toEqual(first)
  const { result } = await app.transaction(async (tx) => {
    const names = ['tcp_keepalives_idle', 'tcp_user_timeout']
    const { rows } = await tx.query(
      'select name, setting from pg_settings where name = any ($1) order by name',
      [names],
    )
    return rows
  })
  expect(result).toEqual([
    { name: 'tcp_keepalives_idle', setting: '10' },
    { name: 'tcp_user_timeout', setting: '30000' },
  ])
})

test('everything works whatever the application has set as the defaults of its driver', async () => {
  const kept = { ...pg.defaults }
  Object.assign(pg.defaults, {
    binary: true,
    parseInputDatesAsUTC: true,
    user: 'nobody',
    database: 'nowhere',
    rows: 1,
    statement_timeout: 60_000,
  })
  try {
    expect(await everythingOf()).toBe(6)
  } finally {
    Object.assign(pg.defaults, kept)
  }
})

test('doctor names a database whose sessions may only read, and publishing says so', async () => {
  await database.query(`alter database ${database.name} set default_transaction_read_only = on`)
  await using app = appOn(database, [noted])
  await expect(app.publish(noted({ note: 'one' }))).rejects.toMatchObject({ code: '25006' })
  expect(await app.doctor.examine()).toContainEqual(
    expect.objectContaining({ check: 'settings', code: 'read-only', status: 'failed' }),
  )
})

test.for([Object.prototype, Array.prototype, String.prototype])(
  'what a toJSON on a prototype would rewrite is refused, before anything is sent (%#)',
  async (prototype) => {
    await using app = appOn(database, [noted])
    await app.publish(noted({ note: 'before' }))
    Object.defineProperty(prototype, 'toJSON', { configurable: true, value: () => 'rewritten' })
    let refused: unknown
    try {
      refused = await app.publish([noted({ note: 'rewritten' })]).catch((error: unknown) => error)
    } catch (error) {
      refused = error
    } finally {
      Reflect.deleteProperty(prototype, 'toJSON')
    }
    expect(refused).toMatchObject({ code: 'TIDEMARK_PAYLOAD_NOT_STORABLE' })
    await app.publish(noted({ note: 'after' }))
    const { rows } = await database.query('select payload from tidemark.events order by sequence')
    expect(rows).toEqual([{ payload: { note: 'before' } }, { payload: { note: 'after' } }])
  },
)

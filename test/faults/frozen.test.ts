import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'
import { createTestDatabase, type TestDatabase } from '@tidemark/testing'
import { defineProjection } from 'tidemark'
import { expect, test, vi } from 'vitest'
import { advisoryKey } from '../../packages/core/src/database/schema.ts'
import { noted, recorder } from '../support/effects.ts'
import { effectsTemplate } from '../support/fresh-database.ts'
import { appOn } from '../support/test-app.ts'
import type { FrozenOptions } from './programs/frozen.ts'

const program = fileURLToPath(new URL('programs/frozen.ts', import.meta.url))

/** Where a process is frozen, and what others want to do then. */
interface Case extends Omit<FrozenOptions, 'url'> {
  readonly others: string
  readonly values?: readonly string[]
}

const touch = (listener: string): string =>
  `update tidemark.cursors set updated_at = now() where listener = '${listener}'`

const cases: readonly Case[] = [
  { deed: 'switch', after: 'SET SCHEMA', others: 'select count(*) from tally' },
  {
    deed: 'sync',
    after: 'DO UPDATE SET updated_at = l.updated_at',
    others: `update tidemark.listeners set updated_at = now() where name = 'tallies'`,
  },
  { deed: 'mode', after: 'SET partitions = 1, resize_to = NULL', others: touch('tallies') },
  {
    deed: 'partitions',
    after: 'ensure_partitions',
    others: 'select tidemark.ensure_partitions(9, 100)',
  },
  { deed: 'prune', after: 'DETACH PARTITION', others: 'select count(*) from tidemark.events' },
  { deed: 'resize', after: 'SELECT cursor, replay_until, epoch', others: touch('keyed') },
  { deed: 'reset', after: 'state = NULL, state_meta = NULL', others: touch('counted') },
  { deed: 'rewind', after: 'state = NULL, state_meta = NULL', others: touch('effects') },
  { deed: 'pause', after: 'SET owner = NULL', others: touch('effects') },
  {
    deed: 'transaction',
    after: 'append_',
    others: `insert into tidemark.streams (stream, version) values ('s', 0) on conflict do nothing`,
  },
  { deed: 'inline', after: 'insert into tally', others: touch('tallies') },
  {
    deed: 'migrate',
    after: 'pg_advisory_xact_lock',
    others: `select pg_advisory_xact_lock(${advisoryKey})`,
    values: ['tidemark.migrate.second'],
  },
]

/** Listeners that have handled events of several partitions, the last of which has no successor. */
async function prepare(database: TestDatabase, deed: Case['deed']): Promise<void> {
  await database.query(`
    create table tally (sequence bigint primary key);
    do $$ declare name text; begin
      for name in select c.relname from pg_inherits i join pg_class c on c.oid = i.inhrelid
        where i.inhparent = 'tidemark.events'::regclass and c.relname <> 'events_default'
      loop execute format('drop table tidemark.%I', name); end loop;
    end $$;
    select tidemark.ensure_partitions(2, 100)`)
  const options = { version: 1, initial: () => 0 }
  const modules = [
    recorder('effects'),
    defineProjection('tallies', {
      version: 1,
      mode: deed === 'inline' ? 'inline' : 'async',
      tables: ['tally'],
    }).on(noted, async ({ sequence }, { tx }) => {
      await tx.query('insert into tally values ($1)', [sequence])
    }),
    defineProjection('counted', options).on(noted, (n) => n + 1),
    defineProjection('keyed', { ...options, keyed: true }).on(noted, (n) => n + 1, {
      key: () => 'k',
    }),
  ]
  await using app = appOn(database, modules)
  await app.start({ handleSignals: false, maintenanceInterval: 3_600_000 })
  const published = await app.publish(Array.from({ length: 150 }, () => noted({ note: 'n' })))
  const last = published.at(-1)?.sequence ?? null
  for (const one of modules) await app.waitFor(one, last)
}

async function othersGoOn({ others, values = [], ...frozen }: Case): Promise<'went on'> {
  await using database = await createTestDatabase({ template: effectsTemplate })
  await prepare(database, frozen.deed)
  const child = spawn(
    process.execPath,
    ['--conditions=@tidemark/source', program, JSON.stringify({ url: database.url, ...frozen })],
    { stdio: ['ignore', 'pipe', 'pipe'] },
  )
  let errors = ''
  child.stderr.on('data', (chunk: Buffer) => (errors += chunk.toString()))
  const ended = once(child, 'exit')
  try {
    await Promise.race([
      once(child.stdout, 'data'),
      ended.then(() => {
        throw new Error(`${frozen.deed} ended without "${frozen.after}": ${errors}`)
      }),
    ])
    const client = await database.connect()
    try {
      let done = false
      const waiting = client.query(others, [...values]).finally(() => (done = true))
      waiting.catch(() => {})
      // The one that is in the way is the one that sleeps.
      await vi.waitFor(
        async () => {
          const { rows } = await database.query(
            `select b.application_name as by from pg_stat_activity a, unnest(pg_blocking_pids(a.pid)) as pid
             join pg_stat_activity b on b.pid = pid.pid where a.datname = current_database()`,
          )
          if (!rows.some(({ by }) => by === 'frozen')) {
            throw new Error(`${frozen.deed} is in nobody's way${done ? ', and they are done' : ''}`)
          }
        },
        { timeout: 4_000, interval: 10 },
      )
      await waiting
      return 'went on'
    } finally {
      await client.end()
    }
  } finally {
    child.kill('SIGKILL')
    await ended
  }
}

// One for each way of being bounded; with TIDEMARK_RUNS, each transaction that there is.
const few = new Set(['switch', 'sync', 'prune', 'transaction', 'inline', 'migrate'])
const chosen =
  process.env['TIDEMARK_RUNS'] === undefined ? cases.filter(({ deed }) => few.has(deed)) : cases

test(
  'a process that is frozen in the middle of a transaction of ours keeps others waiting for seconds, not for as long as it sleeps',
  { timeout: 120_000 },
  async () => {
    const outcomes = await Promise.all(
      chosen.map(async (one) => [one.deed, await othersGoOn(one)] as const),
    )
    expect(outcomes).toEqual(chosen.map(({ deed }) => [deed, 'went on']))
  },
)

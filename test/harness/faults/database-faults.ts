import { setTimeout as delay } from 'node:timers/promises'
import { faults } from '@tidemark/testing'
import type { FaultKind, Stage } from './stage.ts'

const lockable = [
  'tidemark.events',
  'tidemark.cursors',
  'tidemark.listeners',
  'tidemark.jobs',
  'tidemark.processes',
  'tidemark.doorbells',
  'effects',
  'entries',
  'account_rows',
]

/** What goes on inside of the database. */
export const databaseFaults: readonly FaultKind[] = [
  {
    name: 'a table is locked',
    bound: 30_000,
    play: async (stage) => {
      const { random } = stage
      const client = await stage.connect()
      const mode = random.one(['ACCESS EXCLUSIVE', 'SHARE', 'EXCLUSIVE'])
      await client.query('BEGIN')
      await client.query(`SET LOCAL lock_timeout = '2s'`)
      try {
        await client.query(`LOCK TABLE ${random.one(lockable)} IN ${mode} MODE`)
        await delay(random.whole(200, 4_000))
      } catch {
        // Somebody else was faster.
      }
      await client.query('ROLLBACK')
      await client.end()
    },
  },
  {
    name: 'rows of cursors are locked',
    bound: 30_000,
    play: async (stage) => {
      const client = await stage.connect()
      await client.query('BEGIN')
      await client.query('SELECT FROM tidemark.cursors ORDER BY random() LIMIT 3 FOR UPDATE')
      await delay(stage.random.whole(200, 4_000))
      await client.query('ROLLBACK')
      await client.end()
    },
  },
  {
    name: 'an unrelated transaction stays open',
    bound: 30_000,
    play: async (stage) => {
      const client = await stage.connect()
      await client.query('BEGIN ISOLATION LEVEL REPEATABLE READ')
      await client.query(
        'INSERT INTO unrelated SELECT coalesce(max(id), 0) + 1 FROM unrelated RETURNING txid_current()',
      )
      await delay(stage.random.whole(2_000, 8_000))
      await client.query('COMMIT')
      await client.end()
    },
  },
  {
    // As where there are very many locks.
    name: 'looking for publishers takes long',
    bound: 30_000,
    play: async ({ pool, random }) => {
      const view = 'CREATE OR REPLACE VIEW tidemark.publishers AS'
      const { rows } = await pool.query<{ text: string }>(
        `SELECT rtrim(pg_get_viewdef('tidemark.publishers'::regclass), ';') AS text`,
      )
      const text = rows[0]?.text ?? ''
      await pool.query(
        `${view} ${text} UNION ALL SELECT NULL::bigint, NULL::integer FROM pg_sleep(0.03)`,
      )
      await delay(random.whole(3_000, 6_000))
      for (let mended = false; !mended;) {
        // Another fault may have struck meanwhile.
        mended = await pool.query(`${view} ${text}`).then(
          () => true,
          () => false,
        )
        await delay(50)
      }
    },
  },
  {
    name: 'the doorbell is mute',
    bound: 30_000,
    play: async (stage) => {
      await using _ = await faults(faultyDatabase(stage)).muteDoorbell()
      await delay(stage.random.whole(1_000, 4_000))
    },
  },
  {
    name: 'the queue of notifications is full',
    bound: 30_000,
    play: async (stage) => {
      const [listening, filling] = [await stage.connect(), await stage.connect()]
      await listening.query('LISTEN nobody')
      await listening.query('BEGIN')
      await listening.query('SELECT 1')
      try {
        // Nobody reads what comes after this transaction began.
        const fill = `SELECT pg_notify('nobody', repeat('x', 7900) || n) FROM generate_series(1, 200) AS n`
        for (let full = false; !full;) await filling.query(fill).catch(() => (full = true))
        await delay(stage.random.whole(500, 2_500))
      } finally {
        await listening.query('ROLLBACK')
        await Promise.all([listening.end(), filling.end()])
      }
    },
  },
]

/** What operators do while everything runs. */
export const operatorFaults: readonly FaultKind[] = [
  {
    name: 'a projection is rebuilt',
    bound: 45_000,
    play: async ({ app, random }) => {
      await app.rebuild({ name: random.one(['total', 'by-account', 'rows', 'entries']) })
    },
  },
  {
    name: 'a projection is reset',
    bound: 45_000,
    play: async ({ app, random }) => {
      await app.reset({ name: random.one(['total', 'by-account', 'rows', 'entries', 'fees']) })
    },
  },
  {
    name: 'many jobs come at once',
    bound: 30_000,
    play: ({ random, spawnMany }) => spawnMany('settle', random.whole(100, 300)),
  },
  {
    name: 'the outbox of the other install is pruned',
    bound: 30_000,
    play: async ({ second }) => {
      await second.outbox.prune({})
    },
  },
  {
    name: 'a publisher of the other install stays open',
    bound: 30_000,
    play: async (stage) => {
      const client = await stage.connect()
      await client.query('BEGIN')
      await client.query(`SELECT second.publish('second.noted', '{"n": 0}')`)
      await stage.requireProgress('an install is not held back by publishers of another', 20_000)
      await client.query('COMMIT')
      await client.end()
    },
  },
  {
    name: 'a listener is paused and resumed',
    bound: 30_000,
    play: async ({ app, pool, random, violate }) => {
      const name = random.one(['effects', 'keyed', 'parking-keys', 'total', 'entries'])
      await app.listeners.pause(name)
      const at = async (): Promise<unknown> =>
        (
          await pool.query(
            'SELECT partition, cursor FROM tidemark.cursors WHERE listener = $1 ORDER BY generation, partition',
            [name],
          )
        ).rows
      const before = JSON.stringify(await at())
      await delay(random.whole(100, 1_500))
      const after = JSON.stringify(await at())
      if (before !== after) {
        violate('a listener that is paused does not move', { name, before, after })
      }
      await app.listeners.resume(name)
    },
  },
  {
    name: 'dead letters are retried while they still fail',
    bound: 30_000,
    play: async ({ app }) => {
      await app.deadLetters.retry({ listener: 'parking' })
      await app.deadLetters.retry({ listener: 'parking-keys' })
    },
  },
]

function faultyDatabase({ pool, connect }: Stage) {
  return {
    schema: 'tidemark',
    query: ((text: string, values?: unknown[]) => pool.query(text, values)) as never,
    connect: () => connect(),
  }
}

import { createTestDatabase, startPostgres } from '@tidemark/testing'
import { expect, test } from 'vitest'
import { faultsNamed } from '../harness/faults/catalog.ts'
import { makeTables } from '../harness/ledger/application.ts'
import { effectsAlways, effectsAtRest } from '../harness/oracle/effects.ts'
import { jobsAlways, jobsAtRest } from '../harness/oracle/jobs.ts'
import { leftovers } from '../harness/oracle/leftovers.ts'
import { moneyAlways } from '../harness/oracle/money.ts'
import { compareProjections } from '../harness/oracle/projections.ts'
import { runChecks } from '../harness/oracle/violation.ts'
import { playRound } from '../harness/round.ts'

test('a ledger under killed and frozen workers and terminated backends breaks no promise', async () => {
  await using server = await startPostgres({
    source: 'embedded',
    settings: { max_prepared_transactions: '20' },
  })
  const kinds = ['a worker is killed', 'frozen', 'terminated'].flatMap(faultsNamed)
  const lines: string[] = []
  const result = await playRound({
    server,
    seed: 7,
    duration: 1_000,
    workers: 2,
    kinds,
    note: (line) => lines.push(line),
  })
  expect(result.violations, lines.join('\n')).toEqual([])
  expect(result.events).toBeGreaterThan(0)
  expect(result.faults.length).toBeGreaterThan(0)
  // Its bounds are counted by how fast the machine is; this one is for what hangs all the same.
}, 900_000)

const event = `INSERT INTO tidemark.events (type, key, payload) VALUES ('ledger.moved', 'a',
  '{"op": "op-1", "from": "a", "to": "b", "cents": "1", "kind": "plain", "job": "settle"}')`
const job = `INSERT INTO tidemark.jobs (id, name, input, status, triggered_by) VALUES
  ('00000000-0000-7000-8000-000000000001', 'settle', '{}', 'completed', 'x')`

/** What was written by hand, and the promise that it breaks. */
const forgeries: readonly (readonly [string, string])[] = [
  [
    'every event takes effect once',
    `INSERT INTO effects (listener, sequence) VALUES ('effects', 1), ('effects', 1)`,
  ],
  [
    'events take effect in the order of their sequences',
    `INSERT INTO effects (listener, sequence) VALUES ('effects', 2), ('effects', 1)`,
  ],
  [
    'events of a key take effect in the order of their sequences',
    `INSERT INTO effects (listener, sequence, key) VALUES ('keyed', 2, 'a'), ('keyed', 1, 'a')`,
  ],
  [
    'an effect and the cursor that is past its event commit together',
    `INSERT INTO tidemark.listeners (name, kind) VALUES ('effects', 'listener'); INSERT INTO tidemark.cursors (listener, cursor) VALUES ('effects', 1);
     INSERT INTO effects (listener, sequence) VALUES ('effects', 2)`,
  ],
  [
    'an attempt at an event is counted',
    `INSERT INTO tidemark.listeners (name, kind) VALUES ('effects', 'listener');
     INSERT INTO tidemark.cursors (listener, last_error) VALUES ('effects', '{"message": "it is not healed"}')`,
  ],
  ['no committed event is skipped', event],
  [
    'nothing takes effect that was not published',
    `INSERT INTO effects (listener, sequence) VALUES ('effects', 7)`,
  ],
  ['a handler publishes once for each event', event],
  [
    'the other install has handled each of its events, pruned ones included',
    `INSERT INTO second.events (type, payload) VALUES ('x', '{}')`,
  ],
  ['money is conserved', `UPDATE accounts SET cents = 1 WHERE id = 'account-1'`],
  [
    'an account holds what was transferred to it',
    `UPDATE accounts SET cents = 1 WHERE id = 'account-1'`,
  ],
  ['a transfer and its event commit together', event],
  ['an operation has one event, and one with an idempotency key no second', `${event}; ${event}`],
  [
    'a decision holds when it commits: no purse ever holds less than nothing',
    `SELECT tidemark.publish('ledger.booked', '{"op": "x", "cents": "-1"}', stream => 'purse-1')`,
  ],
  [
    'a transactional effect of a job is made once',
    `INSERT INTO job_effects VALUES ('settled', 'j', 'o'), ('settled', 'j', 'o')`,
  ],
  [
    'an event spawns its job once',
    `INSERT INTO job_effects VALUES ('settled', 'j', 'o'), ('settled', 'k', 'o')`,
  ],
  [
    'a tick of a schedule is fired once',
    `INSERT INTO job_effects VALUES ('ticked', 'j', 'o'), ('ticked', 'k', 'o')`,
  ],
  ['every job comes to one end', job.replace("'completed'", "'queued'")],
  ['a completed job has made each of its effects, and no other job has made any', job],
  ['the jobs of the events are there', event],
  ['a story has settled both of its sides', `INSERT INTO job_effects VALUES ('ended', 'j', 'o')`],
  [
    'no process is left that does not live',
    `INSERT INTO tidemark.processes (id, hostname, pid, library) VALUES (gen_random_uuid(), 'h', 1, '1')`,
  ],
]

test('the oracle sees each of these broken, and nothing in a ledger that was not touched', async () => {
  const checks = [
    ...effectsAlways,
    ...moneyAlways,
    ...jobsAlways,
    ...effectsAtRest(['effects']),
    ...jobsAtRest,
    ...leftovers.filter(({ promise }) => promise !== 'no connection is left'),
  ]
  await using database = await createTestDatabase({ maxConnections: 2 })
  await makeTables(database.pool, database.url, 2)
  expect(await runChecks(database, checks)).toEqual([])
  const blind: string[] = []
  for (const [promise, forgery] of forgeries) {
    const client = await database.pool.connect()
    await client.query('BEGIN')
    await client.query(forgery)
    const its = checks.filter((check) => check.promise === promise)
    const found = await runChecks({ query: (text) => client.query(text) }, its)
    await client.query('ROLLBACK')
    client.release()
    if (found.length === 0) blind.push(promise)
  }
  expect(blind).toEqual([])
  // A projection that has not begun to follow is at zero, and so is its fold.
  await database.query(`INSERT INTO tidemark.listeners (name, kind) VALUES ('total', 'projection')`)
  await database.query(`INSERT INTO tidemark.cursors (listener) VALUES ('total')`)
  expect(await compareProjections(database.pool)).toEqual([])
  await database.query(`UPDATE tidemark.cursors SET state = '{"count": 1, "digest": "1"}'`)
  expect(await compareProjections(database.pool)).toHaveLength(1)
})

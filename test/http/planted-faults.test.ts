import { useTestDatabase } from '@tidemark/testing/vitest'
import type { App, Finding } from 'tidemark'
import { afterEach, beforeEach, test } from 'vitest'
import { appOn } from '../support/test-app.ts'
import {
  broken,
  checkFaults,
  examined,
  modules,
  noted,
  bulky,
  tiny,
  opened,
  orphan,
  store,
  worker,
} from './planted.ts'

const database = useTestDatabase({ leakCheck: false })
let viewer: App
let system: AsyncDisposableStack

beforeEach(async () => {
  system = new AsyncDisposableStack()
  await database.query('create table if not exists planted (note text)')
  viewer = system.use(appOn(database, modules))
})

afterEach(async () => {
  await system.disposeAsync()
})

const sql =
  (text: string): (() => Promise<unknown>) =>
  () =>
    database.query(text)

test(
  'what stands still: listeners, keys, jobs, schedules, outputs',
  { timeout: 240_000 },
  async () => {
    const app = system.use(appOn(database, modules, { outputs: { store, limit: 100 } }))
    {
      // It was run once, and its code is gone.
      await using gone = appOn(database, [orphan])
      await (await gone.start({ handleSignals: false })).stop()
    }
    system.use(await app.start(worker))
    await checkFaults(database, viewer, [
      {
        name: 'slow handler, and with it a partition that lags',
        code: 'listener-slow',
        cause: /sleeper has been at one batch for \d+ s/u,
        plant: async () => {
          broken.add('slow')
          await app.publish(noted({ note: 'for the sleeper' }), { key: 'k' })
        },
        mend: async () => {
          broken.delete('slow')
          opened.resolve()
        },
      },
      {
        name: 'lagging partition',
        code: 'listener-lagging',
        cause: /sleeper is \d+ s behind/u,
        plant: sql(`update tidemark.events set recorded_at = recorded_at - interval '1 minute'`),
        mend: async () => {},
      },
      {
        name: 'halted listener',
        code: 'listener-halted',
        cause: /halter has halted at \d+: .*planted: halt/u,
        plant: async () => {
          broken.add('halt')
          broken.add('park')
          await app.publish(noted({ note: 'bad' }), { key: 'k' })
        },
        mend: async () => {
          broken.delete('halt')
          await app.listeners.resume('halter')
        },
      },
      {
        name: 'parked key',
        code: 'dead-letters',
        cause: /parker has set aside 1 event/u,
        plant: async () => {},
        mend: async () => {
          broken.delete('park')
          await app.deadLetters.retry({ listener: 'parker' })
        },
      },
      {
        name: 'no process for a listener',
        code: 'listener-without-process',
        cause: /nobody can run orphan/u,
        plant: async () => {},
        mend: sql(`update tidemark.listeners set status = 'paused' where name = 'orphan'`),
      },
      {
        name: 'full disk of outputs',
        code: 'outputs-refused',
        cause: /"disk" does not take .*ENOSPC/u,
        plant: async () => {
          broken.add('disk')
          await app.jobs.spawn(bulky, {})
        },
        mend: async () => broken.delete('disk'),
      },
      {
        name: 'poisoned job',
        code: 'job-kills',
        cause: /1 job of the type "tiny" killed each process/u,
        plant: async () => {
          await app.jobs.spawn(tiny, {}, { delay: '1h' })
          await database.query(
            `update tidemark.jobs set deaths = 100, run_at = clock_timestamp() where name = 'tiny'`,
          )
        },
        mend: async () => app.jobs.bulk.delete({ name: 'tiny', status: 'failed' }),
      },
      {
        name: 'failing schedule',
        code: 'schedule-failing',
        cause: /"hourly" failed at .*planted: schedule/u,
        plant: async () => {
          broken.add('schedule')
          await database.query(
            `update tidemark.schedules set next_at = date_trunc('hour', clock_timestamp())`,
          )
        },
        mend: async () => {
          broken.delete('schedule')
          await database.query(`update tidemark.schedules set next_at = clock_timestamp()`)
        },
      },
      {
        name: 'default partition in use',
        code: 'default-partition-used',
        cause: /holds 1 event/u,
        plant: async () => {
          // In one go, and with maintenance kept out: it would make a partition for it.
          await database.query(
            `lock table tidemark.events in share update exclusive mode;
             select setval('tidemark.events_sequence', 200000000); select tidemark.publish('foreign.thing', '{}')`,
          )
        },
        mend: async () => {
          const found = (await examined(viewer)).find((one) => one.check === 'partitions')
          const { move } = (found as Finding).details as { move: string[] }
          await database.query(move.join('; '))
        },
      },
      {
        name: 'unreadable event type',
        code: 'event-type-unread',
        cause: /no definition reads foreign.thing/u,
        plant: async () => {},
        mend: sql(`delete from tidemark.events where type = 'foreign.thing'`),
      },
    ])
  },
)

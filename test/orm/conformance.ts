import { fork, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { setImmediate } from 'node:timers/promises'
import { inspect } from 'node:util'
import { createTestDatabase, type DatabaseTemplate, type TestDatabase } from '@tidemark/testing'
import pg from 'pg'
import {
  defineEntity,
  defineEvent,
  defineJob,
  defineListener,
  defineProjection,
  type App,
  type ForeignTransaction,
} from 'tidemark'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { z } from 'zod'
import { missing } from '../support/install.ts'
import { appOn } from '../support/test-app.ts'
import { crashed, type CrashOptions } from './crash-worker.ts'
import type { Connected, Subject } from './subject.ts'

const template: DatabaseTemplate = {
  key: 'orm 1',
  prepare: async (connectionString) => {
    const client = new pg.Client({ connectionString })
    await client.connect()
    await client.query('create table notes (id serial primary key, note text not null)')
    await client.end()
  },
}

const said = defineEvent('orm.said', {
  payload: z.object({
    note: z.string(),
    amount: z.bigint(),
    at: z.date(),
    tags: z.array(z.string()),
  }),
})
const tally = defineEntity('tally', { initial: () => 0n, snapshotEvery: 2 }).on(
  said,
  (sum, { payload }) => sum + payload.amount,
)
const mail = defineJob('mail', { input: z.object({ at: z.date() }), run: async () => {} })

const others = `select from pg_stat_activity
  where datname = current_database() and backend_type = 'client backend' and pid <> pg_backend_pid()`

const at = new Date('2026-03-04T05:06:07.089Z')
const undone = new Error('rolled back on purpose')

function saying(note: string): ReturnType<typeof said> {
  return said({ note, amount: 2n ** 64n, at, tags: [`"`, '{}', '\\', 'ü', 'NULL'] })
}

function startWorker(options: CrashOptions): ChildProcess {
  return fork(new URL('crash-worker.ts', import.meta.url), [JSON.stringify(options)], {
    execArgv: ['--conditions=@tidemark/source'],
    stdio: ['ignore', 'ignore', 'inherit', 'ipc'],
  })
}

/**
 * What every ORM must do: publish in its transactions, and work in those of Tidemark. Where there is no registry to
 * install it from, its tests are skipped, and say why.
 *
 * @param file - the file of its subject, without the extension.
 * @param folder - where the ORM is installed.
 */
export async function conforms(
  file: string,
  load: () => Promise<{ readonly subject: Subject }>,
  folder: URL = new URL('./', import.meta.url),
): Promise<void> {
  const reason = await missing(folder)
  const subject = reason === undefined ? (await load()).subject : undefined
  describe.skipIf(subject === undefined)(subject?.name ?? `${file}: ${reason}`, () => {
    let database: TestDatabase
    let orm: Connected

    beforeEach(async () => {
      database = await createTestDatabase({ template })
      orm = await (subject as Subject).connect(database.url)
    })

    afterEach(async () => {
      await orm.close()
      // Pools say that they are closed before the server knows.
      while ((await database.query(others)).rowCount !== 0) await setImmediate()
      await database[Symbol.asyncDispose]()
    })

    async function count(table: string): Promise<number> {
      return (await database.query(`select from ${table}`)).rowCount ?? 0
    }

    async function stored(): Promise<{ notes: number; events: number; jobs: number }> {
      return {
        notes: await count('notes'),
        events: await count('tidemark.events'),
        jobs: await count('tidemark.jobs'),
      }
    }

    async function doAll(app: App, own: unknown, tx: ForeignTransaction): Promise<void> {
      await orm.insert(own, 'row')
      await app.publish(saying('one'), { tx })
      await app.publish([saying('two'), saying('three')], {
        tx,
        stream: 's',
        expectedVersion: 'none',
      })
      await app.decide(tally, 'x', () => [saying('four'), saying('five')], { tx })
      const { result } = await app.decide(tally, 'x', () => undefined, { tx })
      expect(result).toMatchObject({ state: 2n ** 65n, version: 2n })
      await app.jobs.spawn(mail, { at }, { tx })
      await app.jobs.spawn(mail, { at }, { tx, uniqueKey: 'only' })
      const again = await app.jobs.spawn(mail, { at }, { tx, uniqueKey: 'only' })
      expect(again.duplicate).toBe(true)
    }

    test('what is published, decided and spawned commits with its transaction', async () => {
      await using app = appOn(database, [said, mail])
      await orm.transaction(async (own, tx) => {
        await doAll(app, own, tx)
        // Another connection sees none of it.
        expect(await stored()).toEqual({ notes: 0, events: 0, jobs: 0 })
      })
      expect(await stored()).toEqual({ notes: 1, events: 5, jobs: 2 })
      const { rows } = await database.query(
        `select xmin from notes union select xid::xid from tidemark.events union select xmin from tidemark.jobs`,
      )
      expect(rows).toHaveLength(1)
      const read: unknown[] = []
      for await (const event of app.events()) read.push(event.payload)
      expect(read).toEqual(
        ['one', 'two', 'three', 'four', 'five'].map((note) => saying(note).payload),
      )
      expect((await app.jobs.list())[0]?.input).toEqual({ at })
    })

    test('what is published, decided and spawned rolls back with its transaction', async () => {
      await using app = appOn(database, [said, mail])
      await expect(
        orm.transaction(async (own, tx) => {
          await doAll(app, own, tx)
          throw undone
        }),
      ).rejects.toThrow(undone.message)
      expect(await stored()).toEqual({ notes: 0, events: 0, jobs: 0 })
    })

    test('a savepoint takes back what was published in it, and nothing else', async () => {
      await using app = appOn(database, [said, mail])
      await orm.transaction(async (own, tx) => {
        await app.publish(saying('outer'), { tx, stream: 's' })
        await expect(
          orm.nested(own, async (inner, innerTx) => {
            await doAll(app, inner, innerTx).catch(() => undefined)
            await app.publish(saying('inner'), { tx: innerTx, stream: 's' })
            throw undone
          }),
        ).rejects.toThrow(undone.message)
        await orm.nested(own, async (inner, innerTx) => {
          await orm.insert(inner, 'kept')
          await app.publish(saying('kept'), { tx: innerTx, stream: 's', expectedVersion: 1 })
        })
      })
      expect(await stored()).toEqual({ notes: 1, events: 2, jobs: 0 })
    })

    test('a conflict leaves the transaction usable', async () => {
      await using app = appOn(database, [said])
      await app.publish(saying('taken'), { stream: 's', idempotencyKey: 'once' })
      await orm.transaction(async (own, tx) => {
        await expect(
          app.publish(saying('late'), { tx, stream: 's', expectedVersion: 'none' }),
        ).rejects.toMatchObject({ code: 'TIDEMARK_STREAM_CONFLICT' })
        await expect(
          app.publish(saying('twice'), { tx, idempotencyKey: 'once' }),
        ).rejects.toMatchObject({ code: 'TIDEMARK_DUPLICATE_EVENT' })
        await orm.insert(own, 'still')
      })
      expect(await stored()).toEqual({ notes: 1, events: 1, jobs: 0 })
    })

    test('what is not in a transaction is refused', async () => {
      await using app = appOn(database, [said])
      for (const outside of orm.outside) {
        await expect(
          (async () => app.publish(saying('astray'), { tx: outside() }))(),
        ).rejects.toMatchObject({ code: 'TIDEMARK_INVALID_EXECUTOR' })
      }
      let left: ForeignTransaction | undefined
      await orm.transaction(async (_, tx) => {
        left = tx
      })
      // Once it has ended the ORM says so, or Tidemark does.
      await expect(
        app.publish(saying('astray'), { tx: left as ForeignTransaction }),
      ).rejects.toBeInstanceOf(Error)
      expect(await stored()).toMatchObject({ events: 0 })
    })

    test('an inline projection writes with what the ORM gave', async (context) => {
      if (orm.bind === undefined) return context.skip('it has no `db` of its own in Tidemark')
      const copy = defineProjection('copy', { version: 1, mode: 'inline', tables: ['notes'] }).on(
        said,
        async ({ payload }, { db }) => orm.insert(db, payload.note),
      )
      await using app = appOn(database, [said, copy], { db: orm.bind } as never)
      await orm.transaction(async (own, tx) => {
        await app.publish([saying('a'), saying('b')], { tx })
        expect(await orm.notes(own)).toEqual(['a', 'b'])
      })
      await app.publish(saying('c'))
      await app.transaction(async (tx) => tx.publish(saying('d')))
      expect(await orm.notes(app.db)).toEqual(['a', 'b', 'c', 'd'])
    })

    test('`db` of tidemark.transaction commits and rolls back with the events', async (context) => {
      if (orm.bind === undefined) return context.skip('it has no `db` of its own in Tidemark')
      await using app = appOn(database, [said], { db: orm.bind } as never)
      await app.transaction(async ({ db, publish }) => {
        await orm.insert(db, 'kept')
        publish(saying('kept'))
        expect(await orm.notes(db)).toEqual(['kept'])
      })
      await expect(
        app.transaction(async ({ db, publish }) => {
          await orm.insert(db, 'lost')
          publish(saying('lost'))
          throw undone
        }),
      ).rejects.toThrow(undone.message)
      expect(await stored()).toEqual({ notes: 1, events: 1, jobs: 0 })
      expect(await orm.notes(app.db)).toEqual(['kept'])
    })

    test("a transaction of the ORM inside of Tidemark's is a savepoint", async (context) => {
      if (orm.bind === undefined) return context.skip('it has no `db` of its own in Tidemark')
      await using app = appOn(database, [said], { db: orm.bind } as never)
      await app.transaction(async ({ db, publish }) => {
        publish(saying('kept'))
        await orm.insert(db, 'before')
        await expect(
          orm.nested(db, async (inner) => {
            await orm.insert(inner, 'lost')
            throw undone
          }),
        ).rejects.toThrow(undone.message)
        await orm.nested(db, async (inner) => {
          await orm.insert(inner, 'inner')
          await orm.nested(inner, async (innermost) => orm.insert(innermost, 'innermost'))
        })
        await orm.insert(db, 'after')
        expect(await orm.notes(db)).toEqual(['before', 'inner', 'innermost', 'after'])
      })
      expect(await orm.notes(app.db)).toEqual(['before', 'inner', 'innermost', 'after'])
    })

    test('`db` of listeners, projections and jobs is in the transaction that moves them on', async (context) => {
      if (orm.bind === undefined) return context.skip('it has no `db` of its own in Tidemark')
      let fails = 2
      const listener = defineListener('listener', { retry: { backoff: () => 0 } }).on(
        said,
        async ({ payload }, { db }) => {
          await orm.insert(db, `listener ${payload.note}`)
          if (fails-- > 0) throw undone
        },
      )
      const projection = defineProjection('table', { version: 1, tables: ['notes'] }).on(
        said,
        async ({ payload }, { db }) => orm.insert(db, `projection ${payload.note}`),
      )
      const transactional = defineJob('transactional', {
        input: z.string(),
        transact: async (job, { db }) => orm.insert(db, `job ${job.input}`),
      })
      const stepping = defineJob('stepping', {
        input: z.string(),
        run: async (job, ctx) => {
          await ctx.transaction(async ({ db }) => orm.insert(db, `step ${job.input}`))
        },
      })
      await using app = appOn(database, [said, listener, projection, transactional, stepping], {
        db: orm.bind,
      } as never)
      await using runner = await app.start({ handleSignals: false })
      expect(runner.partitions).toBeDefined()
      const { sequence } = await app.publish(saying('x'))
      await app.waitFor(['listener', 'table'], sequence, { timeout: '20s' })
      await (await app.jobs.spawn(transactional, 'x')).result({ timeout: '20s' })
      await (await app.jobs.spawn(stepping, 'x')).result({ timeout: '20s' })
      const notes = await orm.notes(app.db)
      expect(notes.toSorted()).toEqual(['job x', 'listener x', 'projection x', 'step x'])
    })

    test('what a listener wrote and its cursor are one commit, also when the process is killed between them', async (context) => {
      if (orm.bind === undefined) return context.skip('it has no `db` of its own in Tidemark')
      await using app = appOn(database, [crashed])
      const { sequence } = await app.publish(crashed({ note: 'once' }))
      const first = startWorker({ url: database.url, subject: file, dies: true })
      expect(await once(first, 'exit')).toEqual([null, 'SIGKILL'])
      expect(await stored()).toMatchObject({ notes: 0 })
      const second = startWorker({ url: database.url, subject: file, dies: false })
      await app.waitFor('listener', sequence, { timeout: '90s' })
      second.kill('SIGKILL')
      await once(second, 'exit')
      const { rows } = await database.query('select note from notes')
      expect(rows).toEqual([{ note: 'once' }])
    }, 120_000)

    test('`db` is of no use when its transaction has ended, and cannot end it', async (context) => {
      if (orm.bind === undefined) return context.skip('it has no `db` of its own in Tidemark')
      await using app = appOn(database, [said], { db: orm.bind } as never)
      let kept: unknown
      await app.transaction(async ({ db }) => {
        kept = db
        await orm.insert(db, 'in time')
      })
      // Some ORMs wrap what the client says.
      const refused = await orm.insert(kept, 'late').catch((error: unknown) => inspect(error))
      expect(refused).toContain('TIDEMARK_TRANSACTION_CLOSED')
      expect(await stored()).toMatchObject({ notes: 1 })
    })
  })
}

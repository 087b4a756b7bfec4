import { createTestDatabase, startPostgres } from '@tidemark/testing'
import { defineProjection } from 'tidemark'
import { expect, test } from 'vitest'
import { noted } from '../support/effects.ts'
import { appOn } from '../support/test-app.ts'

const runner = { handleSignals: false, acquireInterval: 50, leaseDuration: 2_000 }
const hung = { timeout: 60_000, interval: 50 }

test(
  'a crash of the server in a rebuild of an unlogged table loses nothing of it; what it empties is found',
  { timeout: 180_000 },
  async () => {
    await using server = await startPostgres({ source: 'embedded' })
    await using database = await createTestDatabase({ server })
    await database.query(
      'create unlogged table notes (sequence bigint primary key, version integer)',
    )
    const gate = Promise.withResolvers<void>()
    const notes = (version: number) =>
      defineProjection('notes', { version, tables: ['notes'], batchSize: 2 }).on(
        noted,
        async ({ sequence, payload: { note } }, { tx }) => {
          if (version === 2 && note === '6') await gate.promise
          await tx.query('insert into notes values ($1, $2)', [sequence, version])
        },
      )
    {
      await using app = appOn(database, [notes(1)])
      await app.start(runner)
      const events = Array.from({ length: 10 }, (_, n) => noted({ note: String(n) }))
      await app.waitFor('notes', (await app.publish(events)).at(-1)?.sequence as never)
    }
    await using app = appOn(database, [notes(2)])
    const emptied = async (): Promise<unknown> =>
      (await app.doctor.examine({ checks: ['emptied'] })).map(({ code }) => code)
    expect(await emptied()).toEqual(['ok'])
    await app.start(runner)
    const cursor = async (): Promise<unknown> => (await app.rebuilds.progress('notes'))?.cursor
    await expect.poll(cursor, hung).toBeGreaterThanOrEqual(6n)
    await server.kill()
    await server.restart()
    expect(await emptied()).toEqual(['projection-emptied'])
    gate.resolve()
    await expect.poll(() => app.rebuilds.list().catch(() => undefined), hung).toEqual([])
    const { rows } = await database.query(
      'select count(*)::integer as rows, min(version) as version from notes',
    )
    expect(rows).toEqual([{ rows: 10, version: 2 }])
    expect(await emptied()).toEqual(['ok'])
  },
)

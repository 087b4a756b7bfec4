import { expect, test } from 'vitest'
import { run } from '../../packages/core/src/database/executor.ts'
import { Database } from '../../packages/core/src/database/pool.ts'
import { advanceCursor, advanceState } from '../../packages/core/src/database/sql/cursors.ts'
import { useFreshDatabase } from '../support/fresh-database.ts'

const database = useFreshDatabase()

// Either condition alone stops most zombies, so that the scenarios cannot tell that both are there. This can.

interface Fenced {
  readonly how: string
  readonly epoch: number
  readonly cursor: number
  readonly moves: number
}

const cases: readonly Fenced[] = [
  { how: 'the epoch and the cursor that are stored', epoch: 7, cursor: 40, moves: 1 },
  { how: 'an older epoch', epoch: 6, cursor: 40, moves: 0 },
  { how: 'an older cursor', epoch: 7, cursor: 39, moves: 0 },
]

for (const { how, epoch, cursor, moves } of cases) {
  for (const fenced of ['advance_cursor', 'advance_state'] as const) {
    test(`${fenced} with ${how} moves ${moves} rows`, async () => {
      await database.query(`insert into tidemark.listeners (name, kind) values ('l', 'listener')`)
      await database.query(
        `insert into tidemark.cursors (listener, epoch, cursor) values ('l', 7, 40)`,
      )
      const pool = new Database({ connectionString: database.url }, 'fence', () => {})
      try {
        const common = ['l', 1, 0, epoch, cursor, 50, 1000]
        const { rowCount } =
          fenced === 'advance_cursor'
            ? await run(pool, advanceCursor('tidemark'), common)
            : await run(pool, advanceState('tidemark'), [...common, '{}', null])
        expect(rowCount).toBe(moves)
      } finally {
        await pool.close()
      }
      const { rows } = await database.query('select cursor from tidemark.cursors')
      expect(rows).toEqual([{ cursor: moves === 1 ? '50' : '40' }])
    })
  }
}

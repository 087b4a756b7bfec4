import { execFileSync } from 'node:child_process'
import { createTestDatabase, startPostgres } from '@tidemark/testing'
import pg from 'pg'
import { expect, test } from 'vitest'
import { findDumping, noDump } from '../../support/dumping-binaries.ts'
import { makeTable, rebuildTable, setUp } from './featured-table.ts'

test(
  'pg_dump tells the same of every table before and after its rebuild',
  { timeout: 120_000 },
  async ({ skip }) => {
    const dumping = findDumping()
    if (dumping === undefined) {
      skip(noDump)
      return
    }
    const { pgDump, binaries } = dumping
    await using server = await startPostgres({
      source: 'embedded',
      ...(binaries === undefined ? {} : { binaries }),
    })
    await using database = await createTestDatabase({ server, migrate: false })
    const client = new pg.Client({ connectionString: database.url })
    await client.connect()
    try {
      const features = await setUp(client)
      const tables = []
      for (const [number, feature] of features.entries()) {
        tables.push(await makeTable(client, number, 'Some "notes"', [feature]))
      }
      // All that go together, in one table.
      const together = features.filter(({ alone = false }) => !alone)
      tables.push(await makeTable(client, features.length, 'all of them', together))
      const before = dump(pgDump, database.url)
      expect(before.length).toBeGreaterThan(features.length * 20)
      for (const [number, table] of tables.entries()) {
        await rebuildTable(client, table).catch((error: unknown) => {
          throw new Error(`${features[number]?.name ?? 'all'}: ${String(error)}`, { cause: error })
        })
      }
      expect(dump(pgDump, database.url)).toEqual(before)
    } finally {
      await client.end()
    }
  },
)

/** What `pg_dump --schema-only` writes, line by line. */
function dump(pgDump: string, url: string): string[] {
  const text = execFileSync(pgDump, ['--schema-only', url], {
    encoding: 'utf8',
    maxBuffer: 64 * 1024 * 1024,
  })
  // A word that each dump draws anew.
  return text.replaceAll(/^\\(?:un)?restrict .*$/gmu, '').split('\n')
}

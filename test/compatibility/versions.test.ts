import { globSync } from 'node:fs'
import { createTestDatabase, startPostgres } from '@tidemark/testing'
import { describe, expect, test } from 'vitest'
import { tellStory } from './story.ts'

const settings = { max_prepared_transactions: '5' }

// Where packages of Debian and of PostgreSQL's own repositories put the programs.
const installed = globSync(['/usr/lib/postgresql/*/bin', '/usr/pgsql-*/bin']).toSorted()

describe('the story holds', () => {
  test('on the Postgres of the test run', async () => {
    await using server = await startPostgres({ settings })
    expect(server.majorVersion).toBeGreaterThanOrEqual(14)
    await using database = await createTestDatabase({ server })
    await tellStory(database)
  })

  if (installed.length === 0) console.log('no other Postgres is installed on this machine')
  for (const binaries of installed) {
    test(`on the Postgres of ${binaries}`, async (context) => {
      await using server = await startPostgres({ settings, binaries })
      if (server.majorVersion < 14) {
        context.skip(`PostgreSQL ${server.version} is older than the oldest supported one`)
      }
      expect(binaries).toContain(String(server.majorVersion))
      await using database = await createTestDatabase({ server })
      await tellStory(database)
    })
  }
})

import { execFile } from 'node:child_process'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { createTestDatabase, startPostgres } from '@tidemark/testing'
import { expect, test } from 'vitest'
import { findDumpingBinaries, noDump } from '../support/dumping-binaries.ts'
import { committedEvents, effectsOf, noted, recorder } from '../support/effects.ts'
import { effectsTemplate } from '../support/fresh-database.ts'
import { appOn } from '../support/test-app.ts'

const execute = promisify(execFile)

test('an outbox that is dumped and restored into a younger cluster hides nothing and loses no place', async ({
  skip,
}) => {
  const binaries = findDumpingBinaries()
  if (binaries === undefined) {
    skip(noDump)
    return
  }
  const directory = await mkdtemp(join(tmpdir(), 'tidemark-dump-'))
  const dump = join(directory, 'dump.sql')
  try {
    await using old = await startPostgres({ source: 'embedded', binaries })
    await using young = await startPostgres({ source: 'embedded', binaries })
    await using from = await createTestDatabase({ server: old, template: effectsTemplate })
    // Rows of the old cluster carry transaction ids that the young one has not come to yet.
    for (let n = 0; n < 300; n++) await from.query('select pg_current_xact_id()')
    {
      await using app = appOn(from, [recorder('ledger')])
      await app.start()
      const { sequence } = await app.publish(noted({ note: 'handled before the dump' }))
      await app.waitFor('ledger', sequence)
    }
    await from.query(`select tidemark.publish('test.noted', '{"note":"not yet handled"}')`)
    const committed = await committedEvents(from)

    await using to = await createTestDatabase({ server: young, migrate: false })
    await execute(join(binaries, 'pg_dump'), ['--no-owner', '--file', dump, from.url])
    await execute(join(binaries, 'psql'), ['-X', '-q', '-v', 'ON_ERROR_STOP=1', '-f', dump, to.url])
    const { rows } = await to.query<{ younger: boolean }>(
      'select bool_and(xid > pg_current_xact_id()) as younger from tidemark.events',
    )
    // Else a reader by transaction id would have nothing to stumble over here.
    expect(rows[0]?.younger).toBe(true)

    await using app = appOn(to, [recorder('ledger'), recorder('new')])
    await app.start()
    const { sequence } = await app.publish(noted({ note: 'after the restore' }))
    await app.waitFor('ledger', sequence)
    await app.waitFor('new', sequence)
    expect(await effectsOf(to, 'ledger')).toEqual([...committed, sequence])
    expect(await effectsOf(to, 'new')).toEqual([...committed, sequence])
  } finally {
    await rm(directory, { recursive: true, force: true })
  }
})

import { execFileSync } from 'node:child_process'
import { existsSync, globSync } from 'node:fs'
import { join } from 'node:path'

/** Why a test that needs pg_dump is skipped. */
export const noDump =
  'no pg_dump beside a postgres was found: set TIDEMARK_TEST_POSTGRES_BIN to a directory that has both, or run npm run services'

/** A directory with server and client programs of one version; the embedded server comes without clients. */
export function findDumpingBinaries(): string | undefined {
  const candidates = [
    process.env['TIDEMARK_TEST_POSTGRES_BIN'] ?? '',
    ...configured(),
    ...globSync('/usr/lib/postgresql/*/bin').toSorted().toReversed(),
  ]
  return candidates.find(
    (directory) =>
      directory !== '' &&
      ['postgres', 'initdb', 'pg_dump', 'psql'].every((program) =>
        existsSync(join(directory, program)),
      ),
  )
}

/** A pg_dump, and the server's programs that it goes with; without them whatever server the tests have. */
export interface Dumping {
  readonly pgDump: string
  readonly binaries: string | undefined
}

/** Any pg_dump that is not older than the server may be named in TIDEMARK_TEST_PG_DUMP, to try every server with. */
export function findDumping(): Dumping | undefined {
  const { TIDEMARK_TEST_PG_DUMP: pgDump, TIDEMARK_TEST_POSTGRES_BIN: binaries } = process.env
  if (pgDump !== undefined && pgDump !== '') return { pgDump, binaries }
  const found = findDumpingBinaries()
  return found === undefined ? undefined : { pgDump: join(found, 'pg_dump'), binaries: found }
}

function configured(): string[] {
  try {
    return [execFileSync('pg_config', ['--bindir'], { encoding: 'utf8' }).trim()]
  } catch {
    return []
  }
}

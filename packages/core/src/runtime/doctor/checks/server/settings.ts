import { type Finding, findings } from '../../finding.ts'
import { type Check, reading } from '../../patient.ts'

interface Settings {
  readonly locks: number
  readonly fsync: string
  readonly synchronous: string
  readonly isolation: string
  readonly readOnly: boolean
  readonly connections: number
  readonly most: number
}

/** Settings of the server and of the database user that Tidemark feels. */
export const settings: Check = {
  name: 'settings',
  look: async ({ app }) => {
    const [row] = await reading(app, (query) =>
      query<Settings>(
        `SELECT current_setting('max_locks_per_transaction')::integer AS locks, current_setting('fsync') AS fsync,
                current_setting('synchronous_commit') AS synchronous,
                -- What sessions begin with; Tidemark's own have set it since.
                (SELECT reset_val FROM pg_settings WHERE name = 'default_transaction_isolation') AS isolation,
                current_setting('default_transaction_read_only') = 'on' AS "readOnly",
                (SELECT count(*)::integer FROM pg_stat_activity WHERE backend_type = 'client backend') AS connections,
                current_setting('max_connections')::integer AS most`,
      ),
    )
    return row === undefined ? [] : judge(row)
  },
}

/** What is wrong with the settings. */
function judge(found: Settings): readonly Finding[] {
  const { ok, warning, failed } = findings('settings')
  const problems: Finding[] = []
  if (found.locks < 64) {
    problems.push(
      failed(
        'too-few-locks',
        `max_locks_per_transaction is ${found.locks}: publishers and queries over many partitions may run out of locks`,
        'Set it to 64, the default, or more, and restart the server.',
        found,
      ),
    )
  }
  if (found.fsync === 'off') {
    problems.push(
      warning(
        'fsync-off',
        'fsync is off: when the machine crashes, data can be lost or damaged',
        'Turn it on, except where the data are worth nothing.',
        found,
      ),
    )
  }
  if (found.synchronous === 'off') {
    problems.push(
      warning(
        'synchronous-commit-off',
        'synchronous_commit is off: a crash can lose the last events, though their publishers were told of the commit',
        'Turn it on for this database unless that is acceptable.',
        found,
      ),
    )
  }
  if (found.readOnly) {
    problems.push(
      failed(
        'read-only',
        'default_transaction_read_only is on: nothing can be published, handled or worked on, and workers wait',
        'Find out who turned it on, and why: some hosts do so when the disk is full. ALTER DATABASE … RESET default_transaction_read_only (or ALTER ROLE, or the server’s configuration) turns it off for new sessions.',
        found,
      ),
    )
  }
  if (found.isolation !== 'read committed') {
    problems.push(
      warning(
        'isolation-not-read-committed',
        `default_transaction_isolation is ${found.isolation}: each publisher rings the doorbell, which serialises commits`,
        'Publish under READ COMMITTED where you can.',
        found,
      ),
    )
  }
  if (found.connections > found.most * 0.9) {
    problems.push(
      warning(
        'connections-nearly-used-up',
        `${found.connections} of ${found.most} connections are in use`,
        'Lower maxConnections of the applications, raise max_connections, or put a pooler in between.',
        found,
      ),
    )
  }
  return problems.length > 0 ? problems : [ok('as they should be', found)]
}

import { findings } from '../../finding.ts'
import { type Check, reading } from '../../patient.ts'

const oldestSupported = 140_000

/** The connection, and the version of the server behind it. */
export const server: Check = {
  name: 'server',
  look: async ({ app }) => {
    const { ok, failed } = findings('server')
    const [row] = await reading(app, (query) =>
      query<{ number: number; version: string; database: string; user: string }>(
        `SELECT current_setting('server_version_num')::integer AS number, current_setting('server_version') AS version,
                current_database() AS database, current_user AS "user"`,
      ),
    )
    const { number, version, database, user } = row ?? {
      number: 0,
      version: '',
      database: '',
      user: '',
    }
    const summary = `PostgreSQL ${version}, database "${database}", user "${user}"`
    if (number >= oldestSupported) return [ok(summary, row)]
    return [
      failed('server-too-old', `${summary}: older than 14`, 'Move to PostgreSQL 14 or newer.', row),
    ]
  },
}

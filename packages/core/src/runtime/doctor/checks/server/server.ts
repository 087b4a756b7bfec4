import { supportedEncoding } from '../../../../database/encoding.ts'
import { type Finding, findings } from '../../finding.ts'
import { type Check, reading } from '../../patient.ts'

const oldestSupported = 140_000

/** The connection, and the version of the server behind it. */
export const server: Check = {
  name: 'server',
  look: async ({ app }) => {
    const { ok, failed } = findings('server')
    const [row] = await reading(app, (query) =>
      query<{ number: number; version: string; database: string; user: string; encoding: string }>(
        `SELECT current_setting('server_version_num')::integer AS number, current_setting('server_version') AS version,
                current_database() AS database, current_user AS "user", getdatabaseencoding() AS encoding`,
      ),
    )
    const { number, version, database, user, encoding } = row ?? {
      number: 0,
      version: '',
      database: '',
      user: '',
      encoding: supportedEncoding,
    }
    const summary = `PostgreSQL ${version}, database "${database}", user "${user}"`
    const problems: Finding[] = []
    if (number < oldestSupported) {
      problems.push(
        failed(
          'server-too-old',
          `${summary}: older than 14`,
          'Move to PostgreSQL 14 or newer.',
          row,
        ),
      )
    }
    if (encoding !== supportedEncoding) {
      problems.push(
        failed(
          'encoding-not-utf8',
          `database "${database}" is encoded in ${encoding}: what JSON can say cannot all be stored in it`,
          `Move to a database that was created with ENCODING '${supportedEncoding}' TEMPLATE template0: an encoding is chosen once.`,
          row,
        ),
      )
    }
    return problems.length > 0 ? problems : [ok(summary, row)]
  },
}

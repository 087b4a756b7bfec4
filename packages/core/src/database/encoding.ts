import { TidemarkError } from '../errors/tidemark-error.ts'
import type { Executor } from './executor.ts'

/** The one encoding that holds every character of JSON, and in which a text has one spelling. */
export const supportedEncoding = 'UTF8'

const encodingSql = 'SELECT current_database() AS database, getdatabaseencoding() AS encoding'

/** @throws TidemarkError TIDEMARK_UNSUPPORTED_ENCODING unless the database is encoded in UTF8. */
export async function requireEncoding(executor: Executor): Promise<void> {
  const { rows } = await executor.query(encodingSql)
  const { database, encoding } = rows[0] as { database: string; encoding: string }
  if (encoding === supportedEncoding) return
  throw new TidemarkError(
    'TIDEMARK_UNSUPPORTED_ENCODING',
    `the database "${database}" is encoded in ${encoding}, not in ${supportedEncoding}`,
    { details: { database, encoding } },
  )
}

/** The same for `psql`, as the first statement of a script. */
export const requireEncodingSql: string = `DO $$
BEGIN
  IF getdatabaseencoding() <> '${supportedEncoding}' THEN
    RAISE EXCEPTION 'the database "%" is encoded in %, not in ${supportedEncoding}', current_database(), getdatabaseencoding()
      USING HINT = 'Tidemark needs a database that was created with ENCODING ''${supportedEncoding}''.';
  END IF;
END $$;`

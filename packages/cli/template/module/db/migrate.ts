import { readFile } from 'node:fs/promises'
import { fileURLToPath } from 'node:url'
import pg from 'pg'

/** Makes the tables of this application. Put your own migration tool here. */
export async function migrate(connectionString: string): Promise<void> {
  const client = new pg.Client({ connectionString })
  await client.connect()
  try {
    await client.query(await readFile(new URL('schema.sql', import.meta.url), 'utf8'))
  } finally {
    await client.end()
  }
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const url = process.env['DATABASE_URL']
  if (url === undefined) throw new Error('set DATABASE_URL')
  await migrate(url)
}

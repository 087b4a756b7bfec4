import pg from 'pg'

/** Runs `work` on a connection of its own to the server's default database. */
export async function onServer<T>(
  url: string,
  work: (client: pg.Client) => Promise<T>,
): Promise<T> {
  const client = new pg.Client({ connectionString: url, application_name: 'tidemark testing' })
  // A connection that breaks fails its statement; without a listener it would end the process too.
  client.on('error', () => undefined)
  await client.connect()
  try {
    return await work(client)
  } finally {
    await client.end()
  }
}

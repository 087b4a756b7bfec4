import { startPostgres } from '@tidemark/testing'
import pg from 'pg'
import { getContainerRuntimeClient } from 'testcontainers'
import { expect, test } from 'vitest'

test('a server in a container can be used, killed and restarted', async ({ skip }) => {
  const problem = await getContainerRuntimeClient().then(
    () => undefined,
    (error: unknown) => `no Docker engine: ${String(error)}`,
  )
  if (problem !== undefined) {
    console.log(`skipped: ${problem}`)
    return skip(problem)
  }
  await using server = await startPostgres({
    source: 'testcontainers',
    settings: { max_prepared_transactions: '3' },
  })
  expect(server.source).toBe('testcontainers')
  expect(await run(server.url(), 'show max_prepared_transactions')).toEqual([
    { max_prepared_transactions: '3' },
  ])
  await run(server.url(), 'create table t as select 1 as n')
  const { port } = server
  await server.kill()
  await expect(run(server.url(), 'select 1')).rejects.toThrow(/.*/)
  await server.restart()
  expect(server.port).toBe(port)
  expect(await run(server.url(), 'select n from t')).toEqual([{ n: 1 }])
})

test('options of a local server are refused for a container', async () => {
  await expect(
    startPostgres({ source: 'testcontainers', dataDirectory: 'somewhere' }),
  ).rejects.toMatchObject({
    code: 'TIDEMARK_TESTING_UNSUPPORTED',
    message: expect.stringContaining('"dataDirectory"'),
  })
})

async function run(connectionString: string, sql: string): Promise<unknown[]> {
  const client = new pg.Client({ connectionString })
  await client.connect()
  try {
    return (await client.query(sql)).rows
  } finally {
    await client.end()
  }
}

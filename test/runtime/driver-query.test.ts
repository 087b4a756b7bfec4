import { useTestDatabase } from '@tidemark/testing/vitest'
import pg from 'pg'
import { expect, test } from 'vitest'
import { driverQuery, queryOn } from '../../packages/core/src/database/driver-query.ts'
import { Database } from '../../packages/core/src/database/pool.ts'
import { inTransaction } from '../../packages/core/src/database/transaction/transaction.ts'

const testDatabase = useTestDatabase()
const text = (value: string): string => value
const texts = { getTypeParser: () => text } as unknown as pg.CustomTypesConfig

type Config = pg.QueryConfig & { readonly rowMode?: string; readonly queryMode?: string }

/** A text that is computed when it is asked for, as those of template libraries are. */
class Computed implements pg.QueryConfig {
  readonly values: unknown[] = [7]

  get text(): string {
    return 'select $1::integer as n'
  }
}

const configs: Readonly<Record<string, Config>> = {
  'a text': { text: `select 1 as n, now() - now() as d, '{"a": 1}'::json as j` },
  'several statements': { text: 'select 1 as n; select 2 as m' },
  values: { text: 'select $1::integer as n, $2::jsonb as j', values: [1, { a: [1, null] }] },
  'a name': { name: 'named', text: 'select $1::date as d', values: [new Date(0)] },
  'the name again': { name: 'named', text: 'select $1::date as d', values: [null] },
  'a list': {
    name: 'list',
    text: 'select $1::text[] as texts, $2::bigint[] as numbers, $3::text[] as mixed',
    values: [
      ['', ',', 'NULL', '"', '\\', '\\"', '{}', ' a\n', null, undefined, 'ü€😀'],
      [1n, 2, null, 9007199254740993n],
      [new Date(0), true, ['a'].join(), 1.5],
    ],
  },
  'a list of lists': {
    name: 'lists',
    text: 'select $1::text[] as lists, $2::bytea[] as bytes, $3::text[] as none',
    values: [
      [
        ['a"', null],
        ['b', 'c'],
      ],
      [Buffer.from('x'), null],
      [],
    ],
  },
  'parsers of its own': { text: 'select 1 as n, true as b', types: texts },
  'rows as arrays': { text: 'select 1, 2, $1::text', values: ['x'], rowMode: 'array' },
  'arrays of texts': { text: 'select 1, 2', rowMode: 'array', types: texts },
  'one statement only': { text: 'select 1; select 2', queryMode: 'extended' },
  'a computed text': new Computed(),
  'no rows': { text: 'create temp table if not exists nothing ()' },
  nonsense: { text: 'selekt 1' },
  'nonsense with a name': { name: 'nonsense', text: 'selekt $1', values: [1] },
}

const seen = (answer: unknown): unknown =>
  Array.isArray(answer)
    ? answer.map(seen)
    : answer instanceof Error
      ? [answer.message, (answer as { code?: unknown }).code]
      : ['rows', 'rowCount', 'command'].map((key) => (answer as Record<string, unknown>)[key])

test.each(Object.keys(configs))('%s is answered as by the driver', async (what) => {
  const config = configs[what] as Config
  const client = new pg.Client({ connectionString: testDatabase.url })
  await client.connect()
  const answers: unknown[] = []
  for (const send of [(c: Config) => client.query(c), (c: Config) => queryOn(client, c)]) {
    for (let time = 0; time < 2; time++) {
      answers.push(await send(config).then(seen, seen))
    }
  }
  await client.end()
  expect(answers).toEqual([answers[0], answers[0], answers[0], answers[0]])
})

test('most are made without a copy of their configuration', () => {
  const others = Object.keys(configs).filter(
    (what) => driverQuery(configs[what] as Config) === undefined,
  )
  expect(others).toEqual(['a computed text'])
})

test('an error says who asked', async () => {
  const client = new pg.Client({ connectionString: testDatabase.url })
  await client.connect()
  async function whoAsks(): Promise<unknown> {
    return await queryOn(client, { text: 'selekt 1' })
  }
  const error = await whoAsks().catch((e: unknown) => e as Error)
  await client.end()
  expect((error as Error).stack).toContain('whoAsks')
})

test('a value that cannot be sent leaves a prepared statement as it is', async () => {
  const database = new Database(
    { connectionString: testDatabase.url, maxConnections: 1 },
    '',
    () => {},
  )
  const circular: Record<string, unknown> = {}
  circular['self'] = circular
  const statement = (value: unknown): pg.QueryConfig => ({
    name: 'values',
    text: 'select $1::jsonb as value',
    values: [value],
  })
  const answers: unknown[] = []
  for (let time = 0; time < 2; time++) {
    await inTransaction(database, {}, async (transaction) => {
      await expect(transaction.ask(statement(circular))).rejects.toThrow(TypeError)
      answers.push((await transaction.ask(statement({ a: 1 }))).rows[0])
      await expect(transaction.ask(statement(circular))).rejects.toThrow(TypeError)
      answers.push((await transaction.ask(statement({ a: 1 }))).rows[0])
    })
  }
  await database.close()
  expect(answers).toEqual([1, 2, 3, 4].map(() => ({ value: { a: 1 } })))
})

test('statements that are sent together fail for what is wrong with them', async () => {
  const database = new Database(
    { connectionString: testDatabase.url, maxConnections: 1 },
    '',
    () => {},
  )
  const wrong = { name: 'wrong', text: 'select $1::integer from missing', values: [1] }
  const codes: unknown[] = []
  await inTransaction(database, {}, async (transaction) => {
    const all = await Promise.allSettled([wrong, wrong, wrong].map((one) => transaction.ask(one)))
    codes.push(
      ...all.map((one) => one.status === 'rejected' && (one.reason as { code: string }).code),
    )
  }).catch(() => {})
  await database.close()
  // The second says that the transaction is aborted, not that there is no such statement.
  expect(codes).toEqual(['42P01', '25P02', '25P02'])
})

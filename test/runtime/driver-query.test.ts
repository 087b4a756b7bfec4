import { useTestDatabase } from '@tidemark/testing/vitest'
import pg from 'pg'
import { expect, test } from 'vitest'
import { Database } from '../../packages/core/src/database/pool.ts'
import { driverQuery, queryOn } from '../../packages/core/src/database/sent/driver-query.ts'
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

interface Logged {
  readonly asked: string
  readonly rows: number | string
}

type Query = (...args: unknown[]) => Promise<pg.QueryResult>

/** What people put around a client's `query`: all of them await an answer. */
const wrappers: Readonly<Record<string, (query: Query, log: Logged[]) => Query>> = {
  'a log':
    (query, log) =>
    async (config, ...rest) => {
      const asked = (config as pg.QueryConfig).text
      try {
        const { rows } = await query(config, ...rest)
        log.push({ asked, rows: rows.length })
        return { rows } as pg.QueryResult
      } catch (error) {
        log.push({ asked, rows: (error as Error).message })
        throw error
      }
    },
  'what writes a comment into a copy':
    (query, log) =>
    async (config, ...rest) => {
      const { text: asked, ...others } = config as pg.QueryConfig
      const answer = await query({ ...others, text: `${asked} /* told */` }, ...rest)
      log.push({ asked, rows: answer.rows.length })
      return answer
    },
  'what refuses':
    (query, log) =>
    async (config, ...rest) => {
      const asked = (config as pg.QueryConfig).text
      if (!asked.startsWith('select')) throw new Error('only selects')
      const answer = await query(config, ...rest)
      log.push({ asked, rows: answer.rows.length })
      return answer
    },
}

/** A pool whose clients have it. */
function poolWith(what: string, log: Logged[] = []): pg.Pool {
  const wrap = wrappers[what]
  class Wrapped extends pg.Client {
    override readonly query = wrap?.(super.query.bind(this) as Query, log) as never
  }
  const Client = wrap === undefined ? pg.Client : Wrapped
  return new pg.Pool({ connectionString: testDatabase.url, max: 1, Client })
}

test.each(['nothing', 'a log'])(
  'statements that are sent together fail for what is wrong with them, with %s around a client',
  async (what) => {
    const pool = poolWith(what)
    const database = new Database({ pool }, '', () => {})
    const wrong = { name: 'wrong', text: 'select $1::integer from missing', values: [1] }
    const codes: unknown[] = []
    await inTransaction(database, {}, async (transaction) => {
      const all = await Promise.allSettled([wrong, wrong, wrong].map((one) => transaction.ask(one)))
      codes.push(
        ...all.map((one) => one.status === 'rejected' && (one.reason as { code: string }).code),
      )
    }).catch(() => {})
    await pool.end()
    // The second says that the transaction is aborted, not that there is no such statement.
    expect(codes).toEqual(['42P01', '25P02', '25P02'])
  },
)

test.each(Object.keys(wrappers))('%s around a client is given what it expects', async (what) => {
  const log: Logged[] = []
  const pool = poolWith(what, log)
  const client = await pool.connect()
  const config = { text: 'select $1::integer as n', values: [1], rowMode: 'array', types: texts }
  const { rows } = await queryOn(client, config)
  expect(rows).toEqual([['1']])
  await expect(queryOn(client, { text: 'selekt 1' })).rejects.toThrow(
    what === 'what refuses' ? 'only selects' : 'selekt',
  )
  expect(log[0]).toEqual({ asked: config.text, rows: 1 })
  client.release()
  await pool.end()
})

test('what is put around all clients, or all pools, is given what it expects', async () => {
  const { query } = pg.Client.prototype as { query: unknown }
  const { query: poolQuery } = pg.Pool.prototype as { query: unknown }
  const database = new Database(
    { connectionString: testDatabase.url, maxConnections: 1 },
    '',
    () => {},
  )
  const copied: unknown[] = []
  const read = (): Promise<unknown> =>
    database.fetch({ name: 'read', text: 'select $1::integer as n, true' }, [1])
  const copying = function (this: unknown, config: unknown, ...rest: unknown[]): unknown {
    const asked = (config as pg.QueryConfig).text
    if (asked?.startsWith('select $1')) copied.push(asked)
    const copy = typeof config === 'string' ? config : { ...(config as pg.QueryConfig) }
    const inner = this instanceof pg.Client ? query : poolQuery
    return (inner as (...args: unknown[]) => unknown).call(this, copy, ...rest)
  }
  try {
    pg.Client.prototype.query = copying as never
    expect(await read()).toEqual([['1', 't']])
    pg.Client.prototype.query = query as never
    pg.Pool.prototype.query = copying as never
    expect(await read()).toEqual([['1', 't']])
  } finally {
    pg.Client.prototype.query = query as never
    pg.Pool.prototype.query = poolQuery as never
    await database.close()
  }
  expect(copied).toHaveLength(2)
})

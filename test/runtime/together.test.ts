import { useTestDatabase } from '@tidemark/testing/vitest'
import fc from 'fast-check'
import pg from 'pg'
import { afterEach, beforeEach, expect, test, vi } from 'vitest'
import { Database } from '../../packages/core/src/database/pool.ts'

const testDatabase = useTestDatabase()
let database: Database

beforeEach(() => {
  database = new Database({ connectionString: testDatabase.url }, 'together', () => {})
})

afterEach(async () => {
  vi.restoreAllMocks()
  await database.close()
})

/** How many statements were sent meanwhile. */
async function sentDuring(work: () => Promise<unknown>): Promise<number> {
  const sent = vi.spyOn(pg.Client.prototype, 'query')
  try {
    await work()
    return sent.mock.calls.length
  } finally {
    sent.mockRestore()
  }
}

const ofEveryType = `
  SELECT true AS yes, false AS no, null::boolean AS maybe, 'x'::"char" AS letter, 'n'::name AS name, 9007199254740993 AS big,
    1::smallint AS small, 2 AS whole, 'text "quoted" \\ ' || chr(128512) AS text, 3::oid AS oid, '{"a":[1,null]}'::json AS json,
    '{"b":"\\u00e9"}'::jsonb AS jsonb, 1.5::real AS real, 0.1::float8 AS double, 'NaN'::float8 AS none, 1.10::numeric AS exact,
    '2026-01-02 03:04:05.678+00'::timestamptz AS at, 'infinity'::timestamptz AS never, '0044-03-15 BC'::timestamptz AS ides,
    '00000000-0000-0000-0000-000000000001'::uuid AS id, ARRAY[true, null, false] AS truths,
    ARRAY['a,b', null, '"'] AS texts, ARRAY[]::bigint[] AS nothing, '\\x00ff'::bytea AS bytes`

test('answers are what they are when each is asked for itself: every type, none, and in order', async () => {
  const { database: reads, together } = database.together()
  const asked = [
    [ofEveryType, []],
    ['SELECT 1 AS one WHERE false', []],
    ['SELECT n, n % 2 = 0 AS even FROM generate_series(1, 50) AS n ORDER BY -n -- the end', []],
    [
      'WITH given AS (SELECT $1::text AS a, $2::jsonb AS b) SELECT * FROM given',
      ['$2', '{"$1":1}'],
    ],
    ['SELECT $1::integer + 1 AS more', [41]],
    ['SELECT 1 AS "same", 2 AS "same"', []],
  ] as const
  const plain = await Promise.all(asked.map(([text, values]) => database.query(text, [...values])))
  for (const statements of [asked.length, 1, 1]) {
    const sent = await sentDuring(async () => {
      const found = await together.during('all', async () => {
        const answers = []
        for (const [text, values] of asked) answers.push(await reads.query(text, [...values]))
        return answers
      })
      expect(found.map(({ rows }) => rows)).toEqual(plain.map(({ rows }) => rows))
    })
    expect(sent).toBe(statements)
  }
})

test('what is asked twice is asked once, and outside of it everything is asked', async () => {
  const { database: reads, together } = database.together()
  const ask = async (): Promise<unknown[]> => {
    const { rows } = await reads.query('SELECT clock_timestamp()::text AS at')
    return [...rows]
  }
  const twice = await together.during('twice', async () => [await ask(), await ask()])
  expect(twice[0]).toEqual(twice[1])
  expect(await together.during('twice', ask)).not.toEqual(twice[0])
  expect(await ask()).not.toEqual(await ask())
})

test('what is new is asked for itself, and with the others the next time', async () => {
  const { database: reads, together } = database.together()
  await fc.assert(
    fc.asyncProperty(
      fc.array(fc.integer({ min: 0, max: 6 }), { maxLength: 8 }),
      async (numbers) => {
        const found = await together.during('numbers', async () => {
          const rows = []
          for (const number of numbers)
            rows.push((await reads.query('SELECT $1::integer AS n', [number])).rows[0]?.['n'])
          return rows
        })
        expect(found).toEqual(numbers)
      },
    ),
    { numRuns: 30 },
  )
})

test('when one of them cannot be asked any more, the others still are, and it says why', async () => {
  await testDatabase.query('create table here (x integer)')
  const { database: reads, together } = database.together()
  const work = async (): Promise<unknown> => {
    await reads.query('SELECT 1 AS one')
    return (await reads.query('SELECT count(*)::integer AS rows FROM here')).rows
  }
  expect(await together.during('work', work)).toEqual([{ rows: 0 }])
  expect(await sentDuring(() => together.during('work', work))).toBe(1)
  await testDatabase.query('alter table here rename to there')
  await expect(together.during('work', work)).rejects.toThrow(/here/u)
  await testDatabase.query('alter table there rename to here')
  expect(await together.during('work', work)).toEqual([{ rows: 0 }])
})

test('works that are begun at once do not read each other’s answers', async () => {
  const { database: reads, together } = database.together()
  const one = async (number: number): Promise<unknown> =>
    together.during(`work ${number}`, async () => {
      const { rows } = await reads.query('SELECT $1::integer AS n, clock_timestamp()::text AS at', [
        number,
      ])
      return rows[0]?.['n']
    })
  for (let round = 0; round < 3; round += 1)
    expect(await Promise.all([1, 2, 3, 4].map(one))).toEqual([1, 2, 3, 4])
})

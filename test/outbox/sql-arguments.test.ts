import { useTestDatabase } from '@tidemark/testing/vitest'
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { badInputs, nastyText } from '../support/nasty.ts'

const database = useTestDatabase({ scope: 'test', leakCheck: false })

interface SqlFunction {
  readonly name: string
  readonly types: readonly string[]
}

/** Texts of values of a type that SQL knows; most of them no caller would give. */
function valueOf(type: string): fc.Arbitrary<string | null> {
  if (type.endsWith('[]')) {
    const element = valueOf(type.slice(0, -2))
    return fc.option(
      fc
        .array(element, { maxLength: 3 })
        .map(
          (values) =>
            `{${values.map((value) => (value === null ? 'NULL' : JSON.stringify(value))).join(',')}}`,
        ),
    )
  }
  const values: Readonly<Record<string, fc.Arbitrary<string>>> = {
    text: nastyText.map((text) => text.replaceAll('\0', '').toWellFormed()),
    integer: fc.oneof(
      fc.integer({ min: -3, max: 3 }).map(String),
      fc.constantFrom('2147483647', '-2147483648', '40000'),
    ),
    bigint: fc.oneof(
      fc.bigInt({ min: -3n, max: 3n }).map(String),
      fc.constantFrom('9223372036854775807', '-9223372036854775808', '4611686018427387904'),
    ),
    boolean: fc.constantFrom('true', 'false'),
    'double precision': fc.constantFrom('0', '-1', '1e308', 'NaN', 'Infinity', '-Infinity'),
    uuid: fc.oneof(fc.constant('00000000-0000-0000-0000-000000000000'), fc.uuid()),
    jsonb: fc.oneof(
      fc.constantFrom('null', '1', '"x"', '[]', '{}', '{"a": null}', '[[[]]]', '1e400'),
      fc.json({ maxDepth: 2 }).map((json) => json.replaceAll(/\\u0000|\\ud[89a-f]../giu, '')),
    ),
    'timestamp with time zone': fc.constantFrom(
      'infinity',
      '-infinity',
      'epoch',
      'now',
      '4713-01-01 BC',
      '294276-12-31',
    ),
    interval: fc.constantFrom('0', '-1 year', '178000000 years', '1 us'),
  }
  return fc.option(values[type] ?? fc.constantFrom('', '{}', '0'))
}

// What says that a function of ours did not expect its arguments: an error of its own text (a query that it made of them),
// a cache or a tuple in disorder, the server's end.
const ours = /^(?:XX|42601|42703|42P01|42P02|42883|0A000|57P0|08)/u

test('no function of the schema takes an argument for SQL, breaks the server, or leaves the outbox unable to publish', async () => {
  await database.query('create table public.canary (id integer)')
  const { rows } = await database.query<SqlFunction>(`
    select p.proname as name, coalesce((select array_agg(format_type(t.oid, null) order by t.n)
      from unnest(p.proargtypes) with ordinality as t (oid, n)), '{}') as types
    from pg_proc p where p.pronamespace = 'tidemark'::regnamespace and p.prorettype <> 'trigger'::regtype
      and p.prokind = 'f' order by 1`)
  // It renumbers the install's locks, for operators who have stopped everything.
  const functions = rows.filter(({ name }) => name !== 'use_lock_namespace')
  expect(functions.length).toBeGreaterThan(20)
  const client = await database.connect()
  let cases = 0
  for (const { name, types } of functions) {
    const runs = types.length === 0 ? 1 : badInputs(60)
    await fc.assert(
      fc.asyncProperty(fc.tuple(...types.map(valueOf)), async (values) => {
        cases += 1
        const given = types.map((type, n) => `$${n + 1}::${type}`).join(', ')
        await client.query(`begin; set local statement_timeout = '10s'`)
        const failure = await client
          .query(`select * from tidemark.${name}(${given})`, values)
          .then(() => undefined)
          .catch((error: unknown) => error as { code?: string; message: string })
        await client.query('rollback')
        const said = `${name}(${JSON.stringify(values)}): ${failure?.message ?? ''}`
        expect(failure?.code ?? '', said).not.toMatch(ours)
        expect(failure === undefined || /^[0-9A-Z]{5}$/u.test(failure.code ?? ''), said).toBe(true)
        expect(said).not.toMatch(/statement timeout/u)
      }),
      { numRuns: runs },
    )
  }
  await client.query(`insert into tidemark.events (type, payload) values ('after.all', '{}')`)
  await client.query('select from public.canary')
  expect(cases).toBeGreaterThan(functions.length)
}, 300_000)

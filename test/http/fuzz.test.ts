import { createApi } from '@tidemark/http'
import { useTestDatabase } from '@tidemark/testing/vitest'
import fc from 'fast-check'
import { beforeAll, expect, test } from 'vitest'
import { appOn } from '../support/test-app.ts'
import { ApiClient } from './client.ts'
import { served, type Document, type Parameter } from './document.ts'
import { account, opened, world } from './system-world.ts'

const database = useTestDatabase({ leakCheck: false })
const runs = Number(process.env['TIDEMARK_RUNS'] ?? 250)
let document: Document

beforeAll(async () => {
  await using app = appOn(database, [world])
  await app.publish(opened(account('a')), { stream: 'a' })
  await using _ = await app.start()
  document = await served(new ApiClient(createApi(app)))
})

const nasty = fc.oneof(
  fc.constantFrom(
    '',
    ' ',
    '\0',
    'a\0b',
    '\uD800',
    '%',
    '%zz',
    '%00',
    '../..',
    "'; drop table events --",
    '1e999',
    '-1',
    '0',
    '9223372036854775807',
    '99999999999999999999',
    'NaN',
    'null',
    '[]',
    '{}',
    '$.x',
    '0001-01-01T00:00:00Z',
    '9999-12-31T23:59:59+14:00',
    '00000000-0000-0000-0000-000000000000',
    'a,b,,c',
    'strict',
    'accounts',
    'a',
  ),
  fc.string({ unit: 'binary', maxLength: 40 }),
  fc.string({ maxLength: 12 }).map((text) => text.repeat(500)),
  fc.integer().map(String),
  fc.bigInt().map(String),
)

/** Values that a parameter allows, as far as its schema tells, and others. */
function valueOf({ schema }: Parameter): fc.Arbitrary<string> {
  const {
    type,
    format,
    pattern,
    minimum = 0,
    maximum = 100,
  } = schema as {
    type?: string
    format?: string
    pattern?: string
    minimum?: number
    maximum?: number
  }
  const good =
    type === 'integer'
      ? fc.integer({ min: minimum, max: maximum }).map(String)
      : format === 'date-time'
        ? fc
            .date({ noInvalidDate: true, min: new Date(0), max: new Date(4e12) })
            .map((date) => date.toISOString())
        : format === 'uuid'
          ? fc.uuid()
          : pattern?.includes('\\d{1,18}') === true
            ? fc.bigInt({ min: 0n, max: 10n ** 18n - 1n }).map(String)
            : fc.constantFrom('strict', 'accounts', 'total', 'a', 'parked')
  return fc.oneof({ weight: 3, arbitrary: good }, nasty)
}

interface Case {
  readonly method: string
  readonly path: string
  readonly parameters: readonly Parameter[]
  readonly body: boolean
}

function cases(): Case[] {
  return Object.entries(document.paths).flatMap(([path, item]) => {
    const shared = (item['parameters'] ?? []) as unknown as readonly Parameter[]
    return ['get', 'post', 'put', 'patch', 'delete'].flatMap((method): Case[] => {
      const operation = item[method]
      if (operation === undefined || JSON.stringify(operation).includes('text/event-stream'))
        return []
      const parameters = [...shared, ...(operation.parameters ?? [])]
      return [{ method, path, parameters, body: operation.requestBody !== undefined }]
    })
  })
}

function requestOf(all: readonly Case[]): fc.Arbitrary<{ case: Case; url: string; body: string }> {
  return fc.constantFrom(...all).chain((one) => {
    const query = one.parameters.filter(({ in: where }) => where === 'query')
    const inPath = one.parameters.filter(({ in: where }) => where === 'path')
    return fc
      .record({
        path: fc.tuple(...inPath.map(valueOf)),
        query: fc.tuple(
          ...query.map((parameter) => fc.option(valueOf(parameter), { nil: undefined, freq: 2 })),
        ),
        more: fc.option(fc.tuple(nasty, nasty), { nil: undefined, freq: 6 }),
        body: fc.oneof(
          fc.constantFrom('', '{}', '[]', 'null', '{', '"x"', '{"listener":"picky"}'),
          fc.json({ maxDepth: 3 }),
          fc
            .record(
              {
                listener: nasty,
                sequence: nasty,
                to: nasty,
                group: nasty,
                key: nasty,
                states: fc.array(nasty, { maxLength: 2 }),
                limit: fc.oneof(fc.integer(), nasty),
                evenPruned: fc.oneof(fc.boolean(), nasty),
              },
              { requiredKeys: [] },
            )
            .map((value) => JSON.stringify(value)),
        ),
      })
      .map(({ path, query: given, more, body }) => {
        const at = inPath.reduce(
          (text, { name }, index) =>
            text.replace(`{${name}}`, () => escaped(path[index] as string)),
          one.path,
        )
        const pairs = query.flatMap(({ name }, index) =>
          given[index] === undefined ? [] : [`${name}=${escaped(given[index])}`],
        )
        if (more !== undefined) pairs.push(`${escaped(more[0])}=${escaped(more[1])}`)
        return { case: one, url: `${at}${pairs.length === 0 ? '' : `?${pairs.join('&')}`}`, body }
      })
  })
}

/** What is not text is sent as it is, as far as a URL can hold it. */
function escaped(text: string): string {
  return text.isWellFormed() ? encodeURIComponent(text) : '%ED%A0%80'
}

test('whatever a request holds, the answer is what was asked for or a problem that is the client’s, never 500', async () => {
  const app = appOn(database, [world])
  const client = new ApiClient(createApi(app))
  const all = cases()
  expect(all.length).toBeGreaterThan(60)
  const reached = new Set<string>()
  try {
    await fc.assert(
      fc.asyncProperty(requestOf(all), async ({ case: { method, path }, url, body }) => {
        const answer =
          method === 'get'
            ? await client.get(url)
            : await client.send(method.toUpperCase(), url, method === 'delete' ? undefined : body)
        if (answer.status < 300) reached.add(`${method} ${path}`)
        const ours = answer.status >= 500 || (answer.status >= 300 && answer.status < 400)
        expect([method, url, body, ours]).toEqual([method, url, body, false])
        const type = answer.headers.get('content-type')
        const isProblem = type === 'application/problem+json' && 'title' in answer.body
        expect([method, url, isProblem]).toEqual([method, url, answer.status >= 400])
      }),
      { numRuns: runs },
    )
    // It is not refused before it gets anywhere.
    expect(reached.size).toBeGreaterThan(5)
  } finally {
    await app.close()
  }
}, 120_000)

import fc from 'fast-check'
import {
  defineApp,
  defineEntity,
  defineEvent,
  defineJob,
  defineListener,
  defineProjection,
  defineQueue,
  isTidemarkError,
} from 'tidemark'
import { expect, test } from 'vitest'
import { z } from 'zod'
import { useFreshDatabase } from '../support/fresh-database.ts'
import { LogBook } from '../support/log-book.ts'
import { badInputs, nastyText } from '../support/nasty.ts'

const database = useFreshDatabase()

/** Letters that names may have beside others, so that most of what is tried is not refused. */
const name = fc.oneof(
  nastyText,
  fc
    .array(
      fc.constantFrom(
        'a',
        'Z',
        '_',
        '.',
        '-',
        "'",
        '"',
        '`',
        ' ',
        ';',
        '$',
        '\\',
        '%',
        ':',
        '/*',
        '--',
        'é',
        '🙂',
      ),
      {
        minLength: 1,
        maxLength: 8,
      },
    )
    .map((parts) => `n${parts.join('')}`),
)

/** What a definition makes of a name; undefined when it refuses it, as it should, with a code. */
function defined<T>(define: () => T): T | undefined {
  try {
    return define()
  } catch (error) {
    if (isTidemarkError(error)) return undefined
    throw error
  }
}

test('no name that a user can choose is taken for SQL: it is refused with a code, or means itself everywhere', async () => {
  await database.query('create table public.canary (id integer)')
  const tried = { refused: 0, taken: 0 }
  await fc.assert(
    fc.asyncProperty(
      fc.record({ one: name, other: name, schema: name }),
      async ({ one, other, schema }) => {
        expect(
          defined(() =>
            defineApp({
              connectionString: database.url,
              modules: [],
              schema,
              logger: new LogBook(),
            }),
          ) === undefined || /^\w+$/u.test(schema),
        ).toBe(true)
        const event = defined(() =>
          defineEvent(one, { payload: z.object({ [other]: z.string() }) }),
        )
        const job = defined(() =>
          defineJob(one, { input: z.object({ text: z.string() }), run: () => {} }),
        )
        const queue = defined(() => defineQueue(other, { concurrency: 1 }))
        const entity = defined(() => defineEntity(one, { initial: () => 0 }))
        const listener = defined(() =>
          event === undefined ? undefined : defineListener(one).on(event, () => {}),
        )
        const projection = defined(() =>
          event === undefined
            ? undefined
            : defineProjection(`${one}.p`, { version: 1, initial: () => ({ n: 0 }) }).on(
                event,
                ({ n }) => ({ n: n + 1 }),
              ),
        )
        const all = [event, job, queue, listener, projection].filter((each) => each !== undefined)
        tried.taken += all.length
        tried.refused += 5 - all.length
        await using app = defineApp({
          connectionString: database.url,
          logger: new LogBook(),
          modules: all,
        })
        const asked: readonly (() => Promise<unknown>)[] = [
          () => app.start({ handleSignals: false, acquireInterval: 20 }),
          ...(event === undefined
            ? []
            : [
                () =>
                  app.publish(event({ [other]: one }), {
                    stream: one,
                    key: other,
                    idempotencyKey: other,
                  }),
              ]),
          ...(job === undefined
            ? []
            : [
                () =>
                  app.jobs.spawn(
                    job,
                    { text: one },
                    {
                      queue: other,
                      uniqueKey: one,
                      concurrencyKey: other,
                    },
                  ),
              ]),
          ...(entity === undefined ? [] : [() => app.load(entity, other)]),
          () => Array.fromAsync(app.events({ types: [one] })),
          () => Array.fromAsync(app.stream(other)),
          () => app.listeners.get(one),
          () => app.listeners.pause(one),
          () => app.listeners.resume(one),
          () => app.deadLetters.list({ listener: one }),
          () => app.rebuilds.progress(other),
          () => app.jobs.list({ name: one }),
          () => app.jobs.search({ queue: other }),
          () => app.jobs.signal('00000000-0000-0000-0000-000000000000', one),
          () => app.doctor.examine({ quick: true }),
        ]
        const wrong: string[] = []
        for (const ask of asked) {
          // Some refuse before they answer a promise.
          await (async () => ask())().catch((error: unknown) => {
            // Its cause is what the server has said, if it was asked.
            const { cause } = error as { cause?: { message?: string } }
            const misread = /syntax error|does not exist|unterminated/u.test(cause?.message ?? '')
            if (misread || !isTidemarkError(error)) wrong.push(`${String(ask)}: ${String(error)}`)
          })
        }
        expect(wrong, JSON.stringify({ one, other })).toEqual([])
        await database.query('select from public.canary')
      },
    ),
    { numRuns: badInputs(40) },
  )
  expect(tried.taken).toBeGreaterThan(0)
  expect(tried.refused).toBeGreaterThan(0)
}, 240_000)

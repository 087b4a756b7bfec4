import { createConsole } from '@tidemark/console'
import { createApi, createJobApi } from '@tidemark/http'
import { defineRelay as defineKafkaRelay, kafka } from '@tidemark/kafka'
import { defineRelay, jetstream } from '@tidemark/nats'
import { openStore } from '@tidemark/stores'
import { rewrite } from '@tidemark/stores/codecs'
import { advance, drain, drainJobs, given, skipBackoff, spawned } from '@tidemark/testing'
import { migrationSql, migrationStatus, requireApp, runJob, unwrap, webhookOf } from 'tidemark'
import { fromMikroOrm } from 'tidemark/mikro-orm'
import { fromTypeorm } from 'tidemark/typeorm'
import { describe, expect, test } from 'vitest'

// What people hand over by mistake, where an object of ours or of a library's is asked for.
const mistakes = [undefined, null, 5, 'app', {}, [], () => {}, Promise.resolve({})] as never[]

const takesApp = {
  createApi,
  createJobApi,
  createConsole,
  requireApp: (app: unknown) => requireApp('it', app),
  drain,
  drainJobs,
  advance: (app: never) => advance(app, '1s'),
  spawned: (app: never) => spawned(app, { name: 'x' }),
  given: (app: never) => given(app, []),
  skipBackoff,
} satisfies Record<string, (app: never) => unknown>

const takesOthers = {
  'defineRelay of JetStream': (options: never) => defineRelay('r', options),
  'defineRelay of JetStream, with a subject that is none': () =>
    defineRelay('r', { to: jetstream({ stream: 'S' }), events: [], subject: 'x' as never }),
  'defineRelay of Kafka': (options: never) => defineKafkaRelay('r', options),
  'defineRelay of Kafka, with a key and no topic': () =>
    defineKafkaRelay('r', { key: () => null } as never),
  'defineRelay of Kafka, with a key that is none': () =>
    defineKafkaRelay('r', { to: kafka({ topic: 't' }), events: [], key: 'x' as never }),
  openStore: (backend: never) => openStore(backend),
  rewrite: (store: never) => rewrite(store),
  unwrap,
  'unwrap of what nobody has awaited': () => unwrap(runJob('job', () => 1) as never),
  webhookOf,
  'migrationStatus of null': () => migrationStatus(null as never),
  'migrationSql of null': () => migrationSql(null as never),
  'migrationSql with a misspelt option': () => migrationSql({ scheme: 'x' } as never),
} satisfies Record<string, (mistake: never) => unknown>

/** What it fails with, thrown or rejected. */
async function failureOf(call: () => unknown): Promise<unknown> {
  try {
    await call()
  } catch (error) {
    return error
  }
  return 'nothing'
}

describe.each(Object.entries({ ...takesApp, ...takesOthers }))('%s', (_, entry) => {
  test('says what it needs, whatever it is given', async () => {
    for (const mistake of mistakes) {
      expect(await failureOf(() => entry(mistake))).toMatchObject({
        code: 'TIDEMARK_INVALID_OPTION',
      })
    }
  })
})

test('a promise of an application is to be awaited', () => {
  expect(() => createApi(Promise.resolve({}) as never)).toThrow(
    expect.objectContaining({ hint: 'Await it first.' }),
  )
})

test.each([
  ['TypeORM', fromTypeorm],
  ['MikroORM', fromMikroOrm],
])('what is no entity manager of %s is refused as one without a transaction', (_, from) => {
  for (const mistake of mistakes) {
    expect(() => from(mistake)).toThrow(
      expect.objectContaining({ code: 'TIDEMARK_INVALID_EXECUTOR' }),
    )
  }
})

test.each([
  ['empty', ''],
  ['a form', 'order=1&cents=5'],
  ['cut off', '{"order":'],
])('a webhook whose body is %s is invalid input', async (_, body) => {
  const request = new Request('http://localhost/', { method: 'POST', body })
  await expect(webhookOf(request)).rejects.toMatchObject({ code: 'TIDEMARK_INVALID_INPUT' })
})

test('a webhook whose body was read before is invalid input', async () => {
  const request = new Request('http://localhost/', { method: 'POST', body: '{}' })
  await request.text()
  await expect(webhookOf(request)).rejects.toMatchObject({ code: 'TIDEMARK_INVALID_INPUT' })
})

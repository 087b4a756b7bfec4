import { Validator } from '@seriousme/openapi-schema-validator'
import { createJobApi } from '@tidemark/http'
import { useTestDatabase } from '@tidemark/testing/vitest'
import type { App } from 'tidemark'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { appOn } from '../support/test-app.ts'
import { ApiClient } from './client.ts'
import { judgeBy, served } from './document.ts'
import { breakDown, indexFolder, sendEmail } from './jobs.ts'

const database = useTestDatabase()
let app: App
let client: ApiClient

beforeEach(() => {
  app = appOn(database, [sendEmail, indexFolder, breakDown])
  client = new ApiClient(createJobApi(app, { basePath: '/api' }), 'http://localhost/api')
})

afterEach(async () => {
  await app.close()
})

test('the document is OpenAPI 3.1, and every operation has a name of its own', async () => {
  const document = await served(client)
  expect(document.openapi).toBe('3.1.0')
  const { valid, errors } = await new Validator().validate({ ...document })
  expect(errors).toBeUndefined()
  expect(valid).toBe(true)
  const names = Object.values(document.paths).flatMap((path) =>
    Object.values(path).flatMap(({ operationId }) => operationId ?? []),
  )
  expect(new Set(names).size).toBe(names.length)
  expect(names).toContain('spawn_files_index')
  // The validator can tell.
  const broken = { ...document, paths: { '/x': { get: { responses: 5 } } } }
  expect(await new Validator().validate(broken)).toMatchObject({ valid: false })
})

test('requests: what the document allows is accepted, and what it does not is refused', async () => {
  const document = await served(client)
  const judge = judgeBy(document)
  const cases = [
    ['send_email', { input: { to: 'ada@example.com', cents: '5' } }, 202],
    ['send_email', { input: { to: 'ada@example.com', cents: 5 }, delay: '5m' }, 202],
    ['send_email', { input: { to: 'nobody' } }, 422],
    ['send_email', { input: { to: 'ada@example.com', cents: 'many' } }, 422],
    ['send_email', { input: { to: 'ada@example.com' }, delay: 'soon' }, 400],
    ['send_email', { input: { to: 'ada@example.com' }, dleay: '5m' }, 400],
    ['files.index', { input: { name: 'a', folders: [{ name: 'b', folders: [] }] } }, 202],
    ['files.index', { input: { name: 'a', folders: [{ nmae: 'b' }] } }, 422],
  ] as const
  for (const [type, body, status] of cases) {
    const pointer = `#/paths/~1types~1${type}~1jobs/post/requestBody/content/application~1json/schema`
    const answer = await client.send('POST', `/types/${type}/jobs`, body)
    expect([body, answer.status]).toEqual([body, status])
    expect([body, judge(pointer, body).length === 0]).toEqual([body, status === 202])
  }
})

test('answers are what the document says', async () => {
  const document = await served(client)
  const judge = judgeBy(document)
  const check = (component: string, value: unknown): void => {
    expect([component, judge(`#/components/schemas/${component}`, value)]).toEqual([component, []])
    // No more than the document says, and all of it.
    const { properties } = document.components.schemas[component] as {
      properties: Record<string, unknown>
    }
    for (const name of Object.keys(value as object)) expect(Object.keys(properties)).toContain(name)
  }
  const spawned = await client.send('POST', '/types/send_email/jobs', {
    input: { to: 'ada@example.com', on: '2026-01-31' },
  })
  check('Spawned', spawned.body)
  const failed = await app.jobs.spawn(breakDown, {})
  await using _ = await app.start()
  const id = spawned.body['id'] as string
  await app.jobs.handle(id).result()
  await expect(failed.result()).rejects.toThrow('on fire')
  for (const one of [id, failed.id]) {
    check('Job', (await client.get(`/jobs/${one}`)).body)
    check('Attempts', (await client.get(`/jobs/${one}/attempts`)).body)
    check('Steps', (await client.get(`/jobs/${one}/steps`)).body)
    check('Trace', (await client.get(`/jobs/${one}/trace`)).body)
    check('Logs', (await client.get(`/jobs/${one}/logs`)).body)
  }
  check('JobPage', (await client.get('/jobs?limit=1')).body)
  check('Types', (await client.get('/types')).body)
  const { body: result } = await client.get(`/jobs/${id}/result`)
  check('Result', result)
  expect(judge('#/components/schemas/SendEmailOutput', result['output'])).toEqual([])
  check('Problem', (await client.get('/jobs/x')).body)
  check('Steered', (await client.send('POST', `/jobs/${failed.id}/retry`)).body)
})

import { exitCode } from '@tidemark/cli'
import { createTestDatabase } from '@tidemark/testing'
import { expect, test } from 'vitest'
import { TidemarkProcess } from './tidemark.ts'

test('console prints a link that opens it once, on this machine, until it is stopped', async () => {
  await using database = await createTestDatabase()
  await using shown = new TidemarkProcess(['console', '--read-only', '--no-config'], {
    env: { DATABASE_URL: database.url },
  })
  await shown.printed('stdout', '\n')
  const link = shown.stdout.trim()
  expect(link).toMatch(/^http:\/\/127\.0\.0\.1:\d+\/\?token=[\w-]{43}$/u)
  const { origin } = new URL(link)
  expect((await fetch(origin)).status).toBe(401)
  const opened = await fetch(link, { redirect: 'manual' })
  expect(opened.status).toBe(303)
  const [cookie = ''] = (opened.headers.get('set-cookie') ?? '').split(';')
  const page = await fetch(origin, { headers: { cookie } })
  expect([page.status, page.headers.get('content-type')]).toEqual([200, 'text/html; charset=utf-8'])
  const access = await fetch(`${origin}/api/access`, { headers: { cookie } })
  expect(await access.json()).toMatchObject({
    readOnly: true,
    allowed: { list: true, cancel: false },
  })
  expect((await fetch(link, { redirect: 'manual' })).status).toBe(401)
  shown.child.kill('SIGTERM')
  expect((await shown.answer()).code).toBe(exitCode.ok)
})

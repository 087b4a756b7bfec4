import { spawnSync } from 'node:child_process'
import { createServer, type AddressInfo } from 'node:net'
import { exitCode } from '@tidemark/cli'
import { createTestDatabase, type TestDatabase } from '@tidemark/testing'
import { expect, test } from 'vitest'
import { tidemark, tidemarkJson, tidemarkProcess } from './tidemark.ts'

interface Migration {
  readonly version: number
  readonly name: string
  readonly breaking: boolean
  readonly state: string
  readonly appliedAt: string | null
}

function on(database: TestDatabase): { env: { DATABASE_URL: string } } {
  return { env: { DATABASE_URL: database.url } }
}

test('twenty processes that migrate up at once apply each migration once', async () => {
  await using database = await createTestDatabase({ migrate: false })
  const argv = ['migrate', 'up', '--database-url', database.url, '--json']
  const answers = await Promise.all([
    ...Array.from({ length: 4 }, () => tidemarkProcess(argv)),
    ...Array.from({ length: 16 }, () => tidemark(argv)),
  ])
  expect(answers.map(({ code }) => code)).toEqual(Array.from({ length: 20 }, () => 0))
  const applied = answers.flatMap(
    ({ stdout }) => (JSON.parse(stdout) as { applied: Migration[] }).applied,
  )
  const { rows } = await database.query<{ version: number }>(
    'select version from tidemark.migrations order by version',
  )
  expect(rows.length).toBeGreaterThan(0)
  expect(applied.map(({ version }) => version).toSorted((a, b) => a - b)).toEqual(
    rows.map(({ version }) => version),
  )
})

test('up reports progress on stderr, the result on stdout, and is done the second time', async () => {
  await using database = await createTestDatabase({ migrate: false })
  const first = await tidemark(['migrate', 'up'], on(database))
  expect(first).toMatchObject({ code: 0, stdout: expect.stringContaining('applied') })
  expect(first.stderr).toContain('applied 1 outbox')
  const second = await tidemark(['migrate', 'up'], on(database))
  expect(second).toEqual({ code: 0, stdout: 'Schema "tidemark" is up to date.\n', stderr: '' })
})

test('status lists pending migrations, and with --check they make it exit 3', async () => {
  await using database = await createTestDatabase({ migrate: false })
  const before = await tidemarkJson<Migration[]>(['migrate', 'status'], on(database))
  expect(before.code).toBe(0)
  expect(before.value[0]).toEqual({
    version: 1,
    name: 'outbox',
    breaking: false,
    state: 'pending',
    appliedAt: null,
  })
  expect((await tidemark(['migrate', 'status', '--check'], on(database))).code).toBe(
    exitCode.checkFailed,
  )
  const verify = await tidemark(['migrate', 'verify'], on(database))
  expect(verify.code).toBe(exitCode.checkFailed)
  expect(verify.stdout).toContain('tidemark migrate up')
  await tidemark(['migrate', 'up'], on(database))
  expect((await tidemark(['migrate', 'status', '--check'], on(database))).code).toBe(0)
  expect((await tidemark(['migrate', 'verify'], on(database))).code).toBe(0)
})

test('a migration whose checksum has changed is refused and reported', async () => {
  await using database = await createTestDatabase()
  await database.query(`update tidemark.migrations set checksum = 'edited' where version = 1`)
  const up = await tidemark(['migrate', 'up'], on(database))
  expect(up.code).toBe(exitCode.failure)
  expect(up.stderr).toContain('TIDEMARK_MIGRATION_CHANGED')
  expect(up.stderr).toContain('hint: Never edit an applied migration.')
  expect(up.stderr).not.toContain('    at ')
  const status = await tidemarkJson<Migration[]>(['migrate', 'status', '--check'], on(database))
  expect(status.code).toBe(exitCode.checkFailed)
  expect(status.value[0]?.state).toBe('changed')
  const verify = await tidemarkJson<{ ok: boolean; problems: { version: number }[] }>(
    ['migrate', 'verify'],
    on(database),
  )
  expect(verify).toMatchObject({
    code: exitCode.checkFailed,
    value: { ok: false, problems: [{ version: 1, state: 'changed' }] },
  })
})

test('a breaking migration of a newer version is refused; one that breaks nothing is not', async () => {
  await using database = await createTestDatabase()
  const insert = `insert into tidemark.migrations (version, name, breaking, checksum) values ($1, $2, $3, 'x')`
  await database.query(insert, [9001, 'harmless', false])
  expect((await tidemark(['migrate', 'up'], on(database))).code).toBe(0)
  expect((await tidemark(['migrate', 'verify'], on(database))).code).toBe(0)
  await database.query(insert, [9002, 'everything-else', true])
  const up = await tidemark(['migrate', 'up'], on(database))
  expect(up.code).toBe(exitCode.failure)
  expect(up.stderr).toContain('TIDEMARK_SCHEMA_TOO_NEW')
  expect(up.stderr).toContain('9002 everything-else')
  expect((await tidemark(['migrate', 'verify'], on(database))).code).toBe(exitCode.checkFailed)
})

test('a server that cannot be reached makes every command exit 4', async () => {
  // A port that was free a moment ago, and on which nobody listens.
  const server = createServer()
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const { port } = server.address() as AddressInfo
  await new Promise((resolve) => server.close(resolve))
  const url = `postgres://nobody@127.0.0.1:${port}/nothing`
  for (const command of [['migrate', 'up'], ['migrate', 'status'], ['event', 'list'], ['doctor']]) {
    const { code, stdout, stderr } = await tidemark([...command, '--database-url', url])
    expect([command, code, stdout]).toEqual([command, exitCode.cannotConnect, ''])
    expect(stderr).toContain('TIDEMARK_CONNECTION_FAILED')
    expect(stderr).toContain('hint: Check host, port, user')
    expect(stderr).not.toContain('    at ')
  }
})

test('a database that does not exist cannot be connected to, and --verbose shows the stack', async () => {
  await using database = await createTestDatabase()
  const url = new URL(database.url)
  url.pathname = '/no_such_database'
  const answer = await tidemark(['listener', 'list', '--verbose', '--database-url', url.href])
  expect(answer.code).toBe(exitCode.cannotConnect)
  expect(answer.stderr).toContain('no_such_database')
  expect(answer.stderr).toMatch(/^\s+at /mu)
})

test('a role that may not create a schema is told so', async () => {
  await using database = await createTestDatabase({ migrate: false })
  const role = `${database.name}_reader`
  await database.query(`create role ${role} login password 'reader'`)
  try {
    const url = new URL(database.url)
    url.username = role
    url.password = 'reader'
    const { code, stderr } = await tidemark(['migrate', 'up', '--database-url', url.href])
    expect(stderr).toContain('TIDEMARK_MISSING_PRIVILEGE')
    expect(stderr).toContain('hint: Run the command as a user who owns the schema')
    expect(code).toBe(exitCode.failure)
    await tidemark(['migrate', 'up'], on(database))
    const list = await tidemark(['listener', 'list', '--database-url', url.href])
    expect(list.code).toBe(exitCode.failure)
    expect(list.stderr).toContain('TIDEMARK_MISSING_PRIVILEGE')
  } finally {
    await database.query(`drop role ${role}`)
  }
})

test('a command that needs the tables says that they are missing', async () => {
  await using database = await createTestDatabase({ migrate: false })
  for (const command of [
    ['event', 'list'],
    ['listener', 'list'],
    ['publish', 'a', '{}'],
  ]) {
    const { code, stderr } = await tidemark(command, on(database))
    expect([command, code]).toEqual([command, exitCode.failure])
    expect(stderr).toContain('TIDEMARK_MIGRATION_REQUIRED')
    expect(stderr).toContain('tidemark migrate up')
  }
})

const psql = process.env['PSQL'] ?? 'psql'
const found = spawnSync(psql, ['--version'], { encoding: 'utf8' })

test('psql applies what `migrate sql` prints, and the library goes on from there', async (context) => {
  if (found.error !== undefined) context.skip('psql is not installed here')
  await using database = await createTestDatabase({ migrate: false })
  const { code, stdout: script } = await tidemark(['migrate', 'sql', '--schema', 'by_hand'])
  expect(code).toBe(0)
  const applied = spawnSync(psql, ['-X', '-q', '-v', 'ON_ERROR_STOP=1', database.url], {
    input: script,
    encoding: 'utf8',
  })
  expect(applied.stderr).not.toContain('ERROR')
  expect(applied.status).toBe(0)
  const at = ['--schema', 'by_hand']
  const status = await tidemarkJson<Migration[]>(['migrate', 'status', ...at], on(database))
  expect(status.value.length).toBeGreaterThan(0)
  expect(status.value.every(({ state }) => state === 'applied')).toBe(true)
  expect((await tidemark(['migrate', 'verify', ...at], on(database))).code).toBe(0)
  expect((await tidemark(['migrate', 'up', ...at], on(database))).stdout).toContain('up to date')
  expect((await tidemark(['publish', 'a.b', '{}', ...at], on(database))).stdout).toContain('as 1')
})

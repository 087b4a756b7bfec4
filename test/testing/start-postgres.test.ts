import { once } from 'node:events'
import { existsSync } from 'node:fs'
import { chmod, mkdtemp, readdir, rm, stat } from 'node:fs/promises'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { type PostgresServer, startPostgres } from '@tidemark/testing'
import pg from 'pg'
import { afterEach, expect, test, vi } from 'vitest'

afterEach(() => {
  vi.unstubAllEnvs()
})

test('a server is ready when it is started, and listens on the loopback address only', async () => {
  await using server = await startPostgres({ source: 'embedded' })
  const rows = await run(
    server,
    "select current_setting('listen_addresses') as addresses, current_setting('unix_socket_directories') as sockets",
  )
  expect(rows).toEqual([{ addresses: '127.0.0.1', sockets: '' }])
  expect(server.version).toMatch(/^\d+\.\d+/)
  expect(server.majorVersion).toBeGreaterThanOrEqual(14)
  expect(server.source).toBe('embedded')
})

test('a server refuses whoever does not know its password', async () => {
  await using server = await startPostgres({ source: 'embedded' })
  const url = new URL(server.url())
  url.password = 'guess'
  const client = new pg.Client({ connectionString: url.href })
  await expect(client.connect()).rejects.toMatchObject({ code: '28P01' })
})

test('settings reach the server', async () => {
  await using server = await startPostgres({
    source: 'embedded',
    settings: { max_prepared_transactions: '7', wal_level: 'logical' },
  })
  expect(
    await run(
      server,
      "select current_setting('max_prepared_transactions') as prepared, current_setting('wal_level') as wal",
    ),
  ).toEqual([{ prepared: '7', wal: 'logical' }])
})

test('a durable server keeps the defaults that survive a power cut', async () => {
  const sql =
    "select name, setting from pg_settings where name in ('fsync', 'full_page_writes', 'synchronous_commit') order by name"
  await using durable = await startPostgres({ source: 'embedded', durable: true })
  expect((await run(durable, sql)).map(({ setting }) => setting)).toEqual(['on', 'on', 'on'])
  await using quick = await startPostgres({ source: 'embedded' })
  expect((await run(quick, sql)).map(({ setting }) => setting)).toEqual(['off', 'off', 'on'])
})

test('a setting that does not exist is reported with the end of the log and a remedy', async () => {
  await using temporary = await temporaryDirectory()
  vi.stubEnv('TMPDIR', temporary.path)
  await expect(
    startPostgres({ source: 'embedded', settings: { max_conections: '10' } }),
  ).rejects.toMatchObject({
    code: 'TIDEMARK_TESTING_START_FAILED',
    message: expect.stringContaining('unrecognized configuration parameter "max_conections"'),
    hint: expect.stringContaining('Correct the settings'),
  })
  expect(await serverDirectories(temporary.path)).toEqual([])
})

test('a killed server comes back on its port with all that it had confirmed', async () => {
  await using server = await startPostgres({ source: 'embedded' })
  const { port } = server
  await run(server, 'create table t as select generate_series(1, 1000) as n')
  await run(server, 'insert into t values (1001)')

  await server.kill()
  await expect(run(server, 'select')).rejects.toMatchObject({ code: 'ECONNREFUSED' })
  expect(server.pid).toBeUndefined()

  await server.restart()
  expect(server.port).toBe(port)
  expect(await run(server, 'select count(*)::int as count from t')).toEqual([{ count: 1001 }])
  expect(await server.log()).toContain('database system was not properly shut down')
})

test('kill() waits for the processes that were busy for a client', async () => {
  await using server = await startPostgres({ source: 'embedded' })
  const client = new pg.Client({ connectionString: server.url() })
  const broken = once(client, 'error')
  await client.connect()
  const asleep = client.query('select pg_sleep(60)')
  asleep.catch(() => undefined)

  await server.kill()

  await expect(asleep).rejects.toThrow('Connection terminated unexpectedly')
  await broken
  // At once: no process of the old server holds its shared memory any more.
  await server.restart()
  expect(await run(server, 'select 1 as one')).toEqual([{ one: 1 }])
})

test('a restart shuts down cleanly and keeps port and rows', async () => {
  await using server = await startPostgres({ source: 'embedded' })
  const { port, pid } = server
  await run(server, 'create table t as select 1 as n')
  await server.restart()
  expect(server.port).toBe(port)
  expect(server.pid).not.toBe(pid)
  expect(await run(server, 'select n from t')).toEqual([{ n: 1 }])
  expect(await server.log()).not.toContain('not properly shut down')
})

test('a stopped server has removed its directory and can not be restarted', async () => {
  const server = await startPostgres({ source: 'embedded' })
  const home = dirname(server.logFile ?? '')
  expect(existsSync(home)).toBe(true)
  await Promise.all([server.stop(), server.stop()])
  await server[Symbol.asyncDispose]()
  expect(existsSync(home)).toBe(false)
  await expect(server.restart()).rejects.toMatchObject({ code: 'TIDEMARK_TESTING_NOT_RUNNING' })
  await expect(server.kill()).rejects.toMatchObject({ code: 'TIDEMARK_TESTING_NOT_RUNNING' })
})

test('a data directory that was given is kept and used again', async () => {
  await using directory = await temporaryDirectory()
  {
    await using server = await startPostgres({ source: 'embedded', dataDirectory: directory.path })
    expect(await run(server, 'show fsync')).toEqual([{ fsync: 'on' }])
    await run(server, 'create table t as select 1 as n')
    await expect(
      startPostgres({ source: 'embedded', dataDirectory: directory.path }),
    ).rejects.toMatchObject({
      code: 'TIDEMARK_TESTING_START_FAILED',
      hint: expect.stringContaining('Another server runs on this data directory'),
    })
    expect(await run(server, 'select n from t')).toEqual([{ n: 1 }])
  }
  expect((await stat(directory.path)).isDirectory()).toBe(true)
  await using again = await startPostgres({ source: 'embedded', dataDirectory: directory.path })
  expect(await run(again, 'select n from t')).toEqual([{ n: 1 }])
  expect(await again.log()).not.toContain('not properly shut down')
})

test('a data directory of another major version is refused', async ({ skip }) => {
  const binaries = await otherBinaries()
  if (binaries === undefined) {
    console.log('skipped: there is no other Postgres below /usr/lib/postgresql')
    return skip('there is no other Postgres below /usr/lib/postgresql')
  }
  await using directory = await temporaryDirectory()
  {
    await using other = await startPostgres({
      source: 'embedded',
      dataDirectory: directory.path,
      binaries,
    })
    expect(await run(other, 'select 1 as one')).toEqual([{ one: 1 }])
  }
  await expect(
    startPostgres({ source: 'embedded', dataDirectory: directory.path }),
  ).rejects.toMatchObject({
    code: 'TIDEMARK_TESTING_DIRECTORY',
    message: expect.stringMatching(/holds a cluster of Postgres \d+, but these programs are/),
  })
})

test('a directory without the programs is refused before anything is started', async () => {
  await expect(startPostgres({ source: 'embedded', binaries: tmpdir() })).rejects.toMatchObject({
    code: 'TIDEMARK_TESTING_NO_BINARIES',
    message: expect.stringContaining(join(tmpdir(), 'initdb')),
  })
})

test('a port that was asked for and is taken is reported', async () => {
  const holder = createServer().listen(0, '127.0.0.1')
  await once(holder, 'listening')
  const address = holder.address()
  const port = typeof address === 'object' && address !== null ? address.port : 0
  try {
    await expect(startPostgres({ source: 'embedded', port })).rejects.toMatchObject({
      code: 'TIDEMARK_TESTING_START_FAILED',
      hint: expect.stringContaining('Choose another port'),
    })
  } finally {
    holder.close()
  }
})

test('servers started at the same time get ports and directories of their own', async () => {
  const servers = await Promise.all(
    [1, 2, 3].map(() => startPostgres({ source: 'embedded', settings: { shared_buffers: '1MB' } })),
  )
  try {
    expect(new Set(servers.map(({ port }) => port)).size).toBe(3)
    expect(new Set(servers.map(({ logFile }) => logFile)).size).toBe(3)
  } finally {
    await Promise.all(servers.map((server) => server.stop()))
  }
})

test('a server found by its URL is used and never stopped', async () => {
  await using server = await startPostgres({ source: 'embedded' })
  vi.stubEnv('TIDEMARK_TEST_DATABASE_URL', server.url('template1'))
  {
    await using external = await startPostgres()
    expect(external.source).toBe('url')
    expect(external.port).toBe(server.port)
    expect(external.version).toBe(server.version)
    expect(external.url()).toBe(server.url('template1'))
    expect(external.url('postgres')).toBe(server.url('postgres'))
    for (const verb of ['stop', 'kill', 'restart'] as const) {
      await expect(external[verb]()).rejects.toMatchObject({
        code: 'TIDEMARK_TESTING_UNSUPPORTED',
        message: expect.stringContaining(`Can't ${verb} the server`),
      })
    }
    await expect(startPostgres({ settings: { jit: 'off' } })).rejects.toMatchObject({
      code: 'TIDEMARK_TESTING_UNSUPPORTED',
      message: expect.stringContaining('The option "settings"'),
    })
  }
  expect(await run(server, 'select 1 as one')).toEqual([{ one: 1 }])
})

test('an option that does not exist is refused with those that do', async () => {
  const options = { dataDir: '/tmp' } as object
  await expect(startPostgres(options)).rejects.toMatchObject({
    code: 'TIDEMARK_TESTING_UNSUPPORTED',
    message: expect.stringContaining('startPostgres has no option "dataDir"'),
    hint: expect.stringContaining('dataDirectory'),
  })
})

test('a URL where nobody answers is reported as the reason', async () => {
  vi.stubEnv('TIDEMARK_TEST_DATABASE_URL', 'postgres://postgres@127.0.0.1:1/postgres')
  await expect(startPostgres()).rejects.toMatchObject({
    code: 'TIDEMARK_TESTING_START_FAILED',
    message: expect.stringContaining('ECONNREFUSED'),
    hint: expect.stringContaining('unset the variable'),
  })
})

async function run(server: PostgresServer, sql: string): Promise<Record<string, unknown>[]> {
  const client = new pg.Client({ connectionString: server.url() })
  await client.connect()
  try {
    return (await client.query<Record<string, unknown>>(sql)).rows
  } finally {
    await client.end()
  }
}

/** A directory that the server's user can enter, also when this is root. */
async function temporaryDirectory(): Promise<AsyncDisposable & { readonly path: string }> {
  const path = await mkdtemp(join(tmpdir(), 'testing-'))
  await chmod(path, 0o1777)
  return {
    path,
    [Symbol.asyncDispose]: () => rm(path, { recursive: true, force: true }),
  }
}

/** What servers have left in a directory; not the programs that root copies once and keeps. */
async function serverDirectories(path: string): Promise<readonly string[]> {
  return (await readdir(path)).filter((entry) => !/^tidemark-postgres-\d+\.\d+/.test(entry))
}

/** The programs of another major version, where Debian's packages put them. */
async function otherBinaries(): Promise<string | undefined> {
  await using server = await startPostgres({ source: 'embedded' })
  const root = '/usr/lib/postgresql'
  const versions = await readdir(root).catch(() => [])
  return versions
    .filter((version) => Number(version) !== server.majorVersion)
    .map((version) => join(root, version, 'bin'))
    .find((folder) => existsSync(join(folder, 'initdb')))
}

import { execFileSync, spawnSync } from 'node:child_process'
import { chmod, chown, mkdtemp, readFile, rm, stat, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { setTimeout } from 'node:timers/promises'
import { startPostgres, type PostgresServer } from '@tidemark/testing'
import pg from 'pg'
import {
  defineApp,
  defineEvent,
  defineProjection,
  migrateUp,
  type ConnectionOptions,
} from 'tidemark'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { z } from 'zod'

// How hosted databases are reached: TLS that is verified, the server's socket, passwords that are good for minutes.

const added = defineEvent('added', { payload: z.object({ n: z.number() }) })
const sum = defineProjection('sum', { version: 1, initial: () => 0 }).on(
  added,
  (total, event) => total + event.payload.n,
)

const openssl = spawnSync('openssl', ['version']).error === undefined
let server: PostgresServer
let admin: pg.Client
let home: string

beforeAll(async () => {
  home = await mkdtemp(join(tmpdir(), 'tidemark-ways-in-'))
  await chmod(home, 0o777)
  server = await startPostgres({
    source: 'embedded',
    settings: { unix_socket_directories: home, password_encryption: 'scram-sha-256' },
  })
  await migrateUp({ connectionString: server.url() })
  admin = new pg.Client({ connectionString: server.url() })
  await admin.connect()
})

afterAll(async () => {
  await admin.end()
  await server[Symbol.asyncDispose]()
  await rm(home, { recursive: true })
})

/** Publishes and waits for what a runner makes of it; answers how each of the application's connections is. */
async function tell(
  options: ConnectionOptions,
): Promise<readonly { ssl: boolean; local: boolean }[]> {
  await using app = defineApp({ modules: [sum], ...options })
  await using runner = await app.start()
  expect(runner.id).toBeTypeOf('string')
  const { sequence } = await app.publish(added({ n: 2 }))
  await app.waitFor(sum, sequence)
  expect(await app.read(sum)).toBeGreaterThanOrEqual(2)
  await expect
    .poll(async () =>
      (await connections()).some(({ query }) => /^(?:listen|notify) /iu.test(query)),
    )
    .toBe(true)
  return await connections()
}

async function connections() {
  const { rows } = await admin.query<{ ssl: boolean; local: boolean; query: string }>(
    `SELECT ssl, client_addr IS NULL AS local, query FROM pg_stat_activity JOIN pg_stat_ssl USING (pid)
      WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()`,
  )
  return rows
}

test('over the socket of the server', async () => {
  const { username, password, pathname } = new URL(server.url())
  const database = pathname.slice(1)
  const ways: readonly ConnectionOptions[] = [
    {
      connectionString: `postgres://${username}:${password}@/${database}?host=${encodeURIComponent(home)}&port=${server.port}`,
    },
    { connection: { host: home, port: server.port, user: username, password, database } },
  ]
  for (const options of ways) {
    const found = await tell(options)
    expect(found.length).toBeGreaterThan(1)
    expect(found.every(({ local }) => local)).toBe(true)
  }
})

test('with a password that is asked for at each connection', async () => {
  const { rows } = await admin.query<{ hba_file: string }>('SHOW hba_file')
  const file = rows[0]?.hba_file ?? ''
  const rules = await readFile(file, 'utf8')
  await writeFile(file, `host all guest all scram-sha-256\n${rules}`)
  let token = 'first'
  let asked = 0
  await admin.query(`CREATE ROLE guest SUPERUSER LOGIN PASSWORD 'first'`)
  await admin.query('SELECT pg_reload_conf()')
  const url = new URL(server.url())
  const connection = {
    host: url.hostname,
    port: server.port,
    database: url.pathname.slice(1),
    user: 'guest',
    password: async () => {
      asked += 1
      return token
    },
  }
  await using app = defineApp({ modules: [sum], connection })
  await using runner = await app.start()
  expect(runner.id).toBeTypeOf('string')
  await app.publish(added({ n: 1 }))
  const askedBefore = asked
  expect(askedBefore).toBeGreaterThan(1)

  // The token runs out, and the server ends every connection: each new one brings the new token, LISTEN's, too.
  token = 'second'
  await admin.query(`ALTER ROLE guest PASSWORD 'second'`)
  await admin.query(
    `SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'guest'`,
  )
  await expect
    .poll(async () => app.publish(added({ n: 1 })).catch(() => undefined), { timeout: 20_000 })
    .toMatchObject({ type: 'added' })
  await expect
    .poll(
      async () => (await connections()).some(({ query }) => /^(?:listen|notify) /iu.test(query)),
      {
        timeout: 20_000,
      },
    )
    .toBe(true)
  expect(asked).toBeGreaterThan(askedBefore)
  const { rows: left } = await admin.query(
    `SELECT FROM pg_stat_activity WHERE usename = 'guest' AND query ~* '^(listen|notify) '`,
  )
  expect(left.length).toBeGreaterThan(0)
})

describe.skipIf(!openssl)(
  `TLS${openssl ? '' : ': openssl is not installed on this machine'}`,
  () => {
    let authority: string

    beforeAll(async () => {
      const [key, certificate] = [join(home, 'server.key'), join(home, 'server.crt')]
      execFileSync(
        'openssl',
        [
          'req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=localhost'.split(' '),
          [
            '-addext',
            'subjectAltName=DNS:localhost,IP:127.0.0.1',
            '-keyout',
            key,
            '-out',
            certificate,
          ],
        ].flat(),
        { stdio: 'ignore' },
      )
      authority = certificate
      // The server reads a key only if it is its own and nobody else can.
      const { rows } = await admin.query<{ hba_file: string }>('SHOW hba_file')
      const { uid, gid } = await stat(dirname(rows[0]?.hba_file ?? ''))
      await chmod(key, 0o600)
      if (process.getuid?.() === 0) await chown(key, uid, gid)
      for (const [name, value] of [
        ['ssl_key_file', key],
        ['ssl_cert_file', certificate],
        ['ssl', 'on'],
      ]) {
        await admin.query(`ALTER SYSTEM SET ${name} = '${value}'`)
      }
      await admin.query('SELECT pg_reload_conf()')
      const secure = async (): Promise<boolean> => {
        const client = new pg.Client({
          connectionString: server.url(),
          ssl: { rejectUnauthorized: false },
        })
        try {
          await client.connect()
          await client.end()
          return true
        } catch {
          return false
        }
      }
      while (!(await secure())) await setTimeout(50)
    })

    test('that is verified, on every connection', async () => {
      const ca = await readFile(authority, 'utf8')
      const url = server.url().replace('127.0.0.1', 'localhost')
      const ways: readonly ConnectionOptions[] = [
        {
          connectionString: `${url}?sslmode=verify-full&sslrootcert=${encodeURIComponent(authority)}`,
        },
        { connectionString: url, connection: { ssl: { ca } } },
      ]
      for (const options of ways) {
        const found = await tell(options)
        expect(found.length).toBeGreaterThan(1)
        expect(found.every(({ ssl }) => ssl)).toBe(true)
      }
    })

    test('whose certificate nobody vouches for is refused, and says so', async () => {
      await using app = defineApp({
        modules: [sum],
        connectionString: `${server.url()}?sslmode=verify-full`,
      })
      await expect(app.publish(added({ n: 1 }))).rejects.toThrow(/self-signed certificate/u)
    })
  },
)

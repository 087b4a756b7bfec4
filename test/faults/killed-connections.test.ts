import { fork } from 'node:child_process'
import { once } from 'node:events'
import { setTimeout as delay } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { expect, test } from 'vitest'
import { useFreshDatabase } from '../support/fresh-database.ts'

const database = useFreshDatabase()

/** How long connections are killed. Minutes by hand: TIDEMARK_KILLED_CONNECTIONS_SECONDS=300. */
const seconds = Number(process.env['TIDEMARK_KILLED_CONNECTIONS_SECONDS'] ?? 15)
const processes = 3

test(
  'connections that are killed all the time do not end the process',
  async () => {
    const ended: string[] = []
    const children = Array.from({ length: processes }, (_, index) => {
      const child = fork(
        fileURLToPath(new URL('programs/busy-application.ts', import.meta.url)),
        [database.url],
        { execArgv: ['--conditions=@tidemark/source'], stdio: ['ignore', 'ignore', 'pipe', 'ipc'] },
      )
      let errors = ''
      let done = 0
      child.stderr?.on('data', (chunk: Buffer) => (errors += chunk.toString()))
      child.on('message', () => (done += 1))
      child.once('exit', (code) => {
        if (child.signalCode === null) ended.push(`process ${index}: ${code}: ${errors}`)
      })
      return { child, done: () => done, started: once(child, 'message') }
    })
    try {
      // A start that fails says so to whoever awaits it; it is what comes after that nobody awaits.
      await Promise.all(children.map(({ started }) => started))
      const until = Date.now() + seconds * 1_000
      let killed = 0
      while (Date.now() < until && ended.length === 0) {
        await delay(30 + Math.random() * 150)
        const { rowCount } = await database.query(
          `select pg_terminate_backend(pid) from pg_stat_activity
           where datname = current_database() and pid <> pg_backend_pid() and application_name ~ '^tidemark'
             and application_name !~ '^tidemark (test|leak)'
           order by random() limit 6`,
        )
        killed += rowCount ?? 0
      }
      expect(ended).toEqual([])
      expect(killed).toBeGreaterThan(seconds)
      // They do not only live: they go on with their work.
      for (const { child, done } of children) {
        const before = done()
        await expect.poll(done, { timeout: 60_000 }).toBeGreaterThan(before + 20)
        expect(child.exitCode).toBe(null)
      }
    } finally {
      for (const { child } of children) {
        if (child.exitCode !== null || child.signalCode !== null) continue
        const exited = once(child, 'exit')
        child.kill('SIGKILL')
        await exited
      }
    }
  },
  seconds * 1_000 + 120_000,
)

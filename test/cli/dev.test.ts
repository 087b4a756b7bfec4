import { appendFile, chmod, readdir } from 'node:fs/promises'
import { join } from 'node:path'
import { exitCode, processIo, type CliIo } from '@tidemark/cli'
import { createTestDatabase, drain } from '@tidemark/testing'
import pg from 'pg'
import { defineApp, defineEvent, defineJob, defineListener, silentLogger } from 'tidemark'
import { expect, test } from 'vitest'
import { z } from 'zod'
import { DevScreen, lookForDev } from '../../packages/cli/src/project/dev-screen.ts'
import { freePort } from '../support/free-port.ts'
import {
  ProjectFolder,
  tidemark,
  tidemarkJson,
  tidemarkProcess,
  TidemarkProcess,
} from './tidemark.ts'

const config = `
import { defineApp, defineEvent, defineListener } from 'tidemark'
import { z } from 'zod'
import { greeting } from './greeting.ts'

const noted = defineEvent('accounts.noted', { payload: z.object({ text: z.string() }) })
const greeter = defineListener('greeter').on(noted, async (event) => {
  console.log(greeting + ' ' + event.payload.text)
})
console.log('loaded in ' + process.pid)
export default defineApp({ modules: [{ noted, greeter }] })
`

/** The processes that have loaded the config. */
function workersOf(dev: TidemarkProcess): number[] {
  return [...dev.stderr.matchAll(/loaded in (\d+)/gu)].map(([, pid]) => Number(pid))
}

function isRunning(pid: number): boolean {
  try {
    return process.kill(pid, 0)
  } catch {
    return false
  }
}

test('dev brings a Postgres, runs the config, starts again when a file changes, and leaves nothing behind', async () => {
  await using folder = await ProjectFolder.create({
    'tidemark.config.ts': config,
    'greeting.ts': `export const greeting = 'hello'\n`,
  })
  await using temporary = await ProjectFolder.create()
  const before = await readdir(temporary.path)
  await using dev = new TidemarkProcess(['dev', '--fresh'], {
    cwd: folder.path,
    env: { TMPDIR: temporary.path },
  })
  await dev.printed('stdout', '\n')
  const url = dev.stdout.trim()
  // The command finds it by itself, as every other does.
  const publish = (text: string): Promise<unknown> =>
    tidemark(['publish', 'accounts.noted', JSON.stringify({ text }), '--no-config'], {
      cwd: folder.path,
    })
  await dev.printed('stderr', 'the worker runs')
  await publish('Ada')
  await dev.printed('stderr', 'hello Ada')

  // One that cannot be loaded ends the worker, not the command: the next change mends it.
  await appendFile(join(folder.path, 'greeting.ts'), 'export const greeting = 1\n')
  await dev.printed('stderr', 'The worker ended with exit code 1')
  expect(dev.stderr).toContain('Changed: greeting.ts')
  expect(dev.stderr).toMatch(/could not be loaded: greeting\.ts:2: /)
  await folder.write('greeting.ts', `export const greeting = 'good day'\n`)
  await dev.printed('stderr', 'the worker runs', 2)
  await publish('Grace')
  await dev.printed('stderr', 'good day Grace')

  dev.child.kill('SIGINT')
  const { code, stdout } = await dev.answer()
  expect(code).toBe(0)
  expect(stdout).toBe(`${url}\n`)
  const pids = workersOf(dev)
  expect(pids).toHaveLength(2)
  expect(pids.filter(isRunning)).toEqual([])
  const client = new pg.Client({ connectionString: url })
  await expect(client.connect()).rejects.toThrow('ECONNREFUSED')
  // The unpacked programs of the server are kept for the next one, as tests keep them.
  const left = (await readdir(temporary.path)).filter((name) => !before.includes(name))
  expect(left.filter((name) => !/^tidemark-postgres-\d/u.test(name))).toEqual([])
  expect(await readdir(join(folder.path, '.tidemark'))).toEqual(['.gitignore', 'dev.json'])
})

test('dev keeps its data and its address, and starts again only for what the worker is made of', async () => {
  await using folder = await ProjectFolder.create({
    'tidemark.config.ts': config,
    'greeting.ts': `export const greeting = 'hello'\n`,
    'elsewhere.ts': 'export const nobody = 1\n',
  })
  // The server's account, where root starts it, has to come here.
  await chmod(folder.path, 0o755)
  let url: string
  {
    await using dev = new TidemarkProcess(['dev'], { cwd: folder.path })
    await dev.printed('stdout', '\n')
    url = dev.stdout.trim()
    const second = await tidemarkProcess(['dev'], { cwd: folder.path })
    expect(second.code).toBe(exitCode.failure)
    expect(second.stderr).toContain('tidemark dev runs here already')
    await tidemark(['publish', 'accounts.noted', '{"text":"Ada"}'], { cwd: folder.path })
    await dev.printed('stderr', 'hello Ada')
    // Neither what no module imports nor a test concerns the worker; what is new might be found by it.
    await folder.write('elsewhere.ts', 'export const nobody = 2\n')
    await folder.write('greeting.test.ts', 'export {}\n')
    await folder.write('greeting.ts', `export const greeting = 'good day'\n`)
    await dev.printed('stderr', 'the worker runs', 2)
    expect(dev.stderr).toContain('Changed: greeting.ts\n')
    await folder.write('found.ts', 'export {}\n')
    // On a slow machine a file may change a second time while its worker is replaced.
    await dev.printed('stderr', 'found.ts\n')
    dev.child.kill('SIGINT')
    await dev.answer()
  }
  await using again = new TidemarkProcess(['dev'], { cwd: folder.path })
  await again.printed('stdout', '\n')
  expect(again.stdout.trim()).toBe(url)
  const listed = await tidemarkJson<readonly { readonly type: string }[]>(
    ['event', 'list', '--no-config'],
    { cwd: folder.path },
  )
  expect(listed.value.map(({ type }) => type)).toEqual(['accounts.noted'])
})

test('on a terminal dev shows how things stand beneath what is printed', async () => {
  const written: string[] = []
  const io: CliIo = {
    ...processIo(),
    stderr: (text) => written.push(text),
    colors: { stdout: false, stderr: false },
    terminal: { columns: 100, rows: 30 },
  }
  await using database = await createTestDatabase()
  const noted = defineEvent('noted', { payload: z.object({ text: z.string() }) })
  const failing = defineListener('failing', { onFailure: 'halt', retry: { attempts: 1 } }).on(
    noted,
    () => {
      throw new Error('no such letter')
    },
  )
  const job = defineJob('mail', { input: z.object({}), run: () => {} })
  await using app = defineApp({
    modules: [failing, job],
    connectionString: database.url,
    logger: silentLogger,
  })
  await app.publish(noted({ text: 'Ada' }))
  await app.jobs.spawn(job, {}, { delay: '1h' })
  await expect(drain(app)).rejects.toThrow('no such letter')
  {
    using screen = new DevScreen(io, { url: 'postgres://here', look: () => lookForDev(app) })
    await expect.poll(() => written.join('')).toContain('no such letter')
    screen.io.stderr('a piece ')
    expect(written.join('')).not.toContain('a piece')
    screen.io.stderr('of a log\nand the rest')
    await expect.poll(() => written.join('')).toContain('a piece of a log\n')
  }
  expect(written.join('')).toContain('and the rest\n')
  const [shown = ''] = written.join('').split('a piece of a log')
  expect(shown).toMatch(/failing +halted +0 +1 +0/)
  expect(shown).toContain('jobs  1 scheduled')
  expect(shown).toContain('error failing: no such letter')
})

test('a worker ends with the dev that started it, even when that is killed', async () => {
  await using folder = await ProjectFolder.create({
    'tidemark.config.ts': config,
    'greeting.ts': `export const greeting = 'hello'\n`,
  })
  await using dev = new TidemarkProcess(['dev', '--fresh'], { cwd: folder.path })
  await dev.printed('stderr', 'the worker runs')
  dev.child.kill('SIGKILL')
  // Its stderr closes when the last process that holds it is gone.
  await dev.answer()
  await expect.poll(() => workersOf(dev).filter(isRunning), { timeout: 20_000 }).toEqual([])
})

test('without @tidemark/testing dev says what to install', async () => {
  await using folder = await ProjectFolder.create({ 'tidemark.config.ts': config })
  const hide = `import { registerHooks } from 'node:module'
    registerHooks({ resolve(specifier, context, next) {
      if (specifier !== '@tidemark/testing') return next(specifier, context)
      throw Object.assign(new Error("Cannot find package '@tidemark/testing'"), { code: 'ERR_MODULE_NOT_FOUND' })
    } })`
  const { code, stderr } = await tidemarkProcess(['dev'], {
    cwd: folder.path,
    env: { NODE_OPTIONS: `--import=data:text/javascript,${encodeURIComponent(hide)}` },
  })
  expect(code).toBe(exitCode.failure)
  expect(stderr).toContain('@tidemark/testing, which is not installed')
  expect(stderr).toContain('npm install --save-dev @tidemark/testing')
})

test('dev ends when the server that it is given cannot be reached, and prints no password of one', async () => {
  await using folder = await ProjectFolder.create({
    'tidemark.config.ts': `import { defineApp } from 'tidemark'\nexport default defineApp({ modules: [] })\n`,
  })
  const away = `postgres://someone:not~seen@127.0.0.1:${await freePort()}/app`
  const { code, stdout, stderr } = await tidemarkProcess(['dev', '--database-url', away], {
    cwd: folder.path,
  })
  expect(code).toBe(exitCode.cannotConnect)
  expect(stderr).toContain('TIDEMARK_CONNECTION_FAILED')
  expect(stdout + stderr).not.toContain('not~seen')
  await using database = await createTestDatabase()
  const given = new URL(database.url)
  given.password = 'not~seen'
  const role = `dev_${database.name.slice(-8)}`
  given.username = role
  await database.query(`create role ${role} login superuser password 'not~seen'`)
  {
    await using dev = new TidemarkProcess(['dev', '--database-url', given.href], {
      cwd: folder.path,
    })
    await dev.printed('stderr', 'the worker runs')
    await dev.printed('stdout', `postgres://${role}:***@`)
    expect(dev.stdout + dev.stderr).not.toContain('not~seen')
  }
  await database.query(`drop role ${role}`)
})

test('dev needs a config', async () => {
  const { code, stderr } = await tidemark(['dev'])
  expect(code).toBe(exitCode.usage)
  expect(stderr).toContain('there is no tidemark.config.ts here or above')
})

test('dev runs the application’s own migrations before the worker, and waits for a change when they fail', async () => {
  await using database = await createTestDatabase({ migrate: false })
  await using folder = await ProjectFolder.create({
    'tidemark.config.ts': `import { defineApp } from 'tidemark'\nexport default defineApp({ modules: [] })\n`,
    'before.mjs': `throw new Error('the table is in the way')\n`,
  })
  await using dev = new TidemarkProcess(
    ['dev', '--database-url', database.url, '--before', 'node before.mjs'],
    { cwd: folder.path },
  )
  await dev.printed('stderr', 'the table is in the way')
  await dev.printed('stderr', 'the worker starts when a file changes')
  await folder.write('before.mjs', `console.log('made on', process.env.DATABASE_URL)\n`)
  await dev.printed('stderr', `made on ${database.url}`)
  await dev.printed('stderr', 'the worker runs')
  expect(dev.stderr.indexOf('made on')).toBeLessThan(dev.stderr.indexOf('the worker runs'))
})

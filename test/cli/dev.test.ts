import { appendFile, readdir } from 'node:fs/promises'
import { join } from 'node:path'
import { exitCode } from '@tidemark/cli'
import { createTestDatabase } from '@tidemark/testing'
import pg from 'pg'
import { expect, test } from 'vitest'
import { ProjectFolder, tidemark, tidemarkProcess, TidemarkProcess } from './tidemark.ts'

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
  await using dev = new TidemarkProcess(['dev'], {
    cwd: folder.path,
    env: { TMPDIR: temporary.path },
  })
  await dev.printed('stdout', '\n')
  const env = { DATABASE_URL: dev.stdout.trim() }
  const publish = (text: string): Promise<unknown> =>
    tidemark(['publish', 'accounts.noted', JSON.stringify({ text }), '--no-config'], { env })
  await dev.printed('stderr', 'the worker runs')
  await publish('Ada')
  await dev.printed('stderr', 'hello Ada')

  // One that cannot be loaded ends the worker, not the command: the next change mends it.
  await appendFile(join(folder.path, 'greeting.ts'), 'export const greeting = 1\n')
  await dev.printed('stderr', 'The worker ended with exit code 1')
  expect(dev.stderr).toContain('Changed: greeting.ts')
  await folder.write('greeting.ts', `export const greeting = 'good day'\n`)
  await dev.printed('stderr', 'the worker runs', 2)
  await publish('Grace')
  await dev.printed('stderr', 'good day Grace')

  dev.child.kill('SIGINT')
  const { code, stdout } = await dev.answer()
  expect(code).toBe(0)
  expect(stdout).toBe(`${env.DATABASE_URL}\n`)
  const pids = workersOf(dev)
  expect(pids).toHaveLength(2)
  expect(pids.filter(isRunning)).toEqual([])
  const client = new pg.Client({ connectionString: env.DATABASE_URL })
  await expect(client.connect()).rejects.toThrow('ECONNREFUSED')
  // The unpacked programs of the server are kept for the next one, as tests keep them.
  const left = (await readdir(temporary.path)).filter((name) => !before.includes(name))
  expect(left.filter((name) => !/^tidemark-postgres-\d/u.test(name))).toEqual([])
})

test('a worker ends with the dev that started it, even when that is killed', async () => {
  await using folder = await ProjectFolder.create({
    'tidemark.config.ts': config,
    'greeting.ts': `export const greeting = 'hello'\n`,
  })
  await using dev = new TidemarkProcess(['dev'], { cwd: folder.path })
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

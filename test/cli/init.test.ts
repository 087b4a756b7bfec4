import { execFile, spawn } from 'node:child_process'
import { once } from 'node:events'
import { readdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { exitCode, runCli, type CliIo, type Question } from '@tidemark/cli'
import { createTestDatabase } from '@tidemark/testing'
import { expect, test } from 'vitest'
import { freePort } from '../support/free-port.ts'
import { typeCheck } from '../support/type-check.ts'
import { ProjectFolder, tidemark, TidemarkTask } from './tidemark.ts'

const globalSetup = fileURLToPath(
  new URL('../../packages/testing/src/vitest/global-setup.ts', import.meta.url),
)
const withSources = `
import { mergeConfig } from 'vitest/config'
import own from './vitest.config.ts'
const source = '@tidemark/source'
const conditions = [source, 'node', 'development|production']
own.test = { ...own.test, globalSetup: ${JSON.stringify(globalSetup)} }
export default mergeConfig(own, {
  resolve: { conditions },
  ssr: { resolve: { conditions, externalConditions: [source] } },
})
`

/** `server.ts` of a project in a process of its own, until it is disposed of by a SIGTERM, on which it ends by itself. */
async function serving(
  cwd: string,
  env: Readonly<Record<string, string>>,
): Promise<AsyncDisposable> {
  const child = spawn(process.execPath, ['--conditions=@tidemark/source', 'server.ts'], {
    cwd,
    env: { ...process.env, ...env },
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  const ended = once(child, 'exit')
  const [said] = (await Promise.race([
    once(child.stdout, 'data'),
    ended.then(() => Promise.reject(new Error('it ended without listening'))),
  ])) as [Buffer]
  expect(said.toString()).toContain(`http://localhost:${env['PORT']}`)
  return {
    async [Symbol.asyncDispose]() {
      child.kill('SIGTERM')
      expect(await ended).toEqual([0, null])
    },
  }
}

test('init writes a project that migrates, runs, publishes and projects as it says', async () => {
  await using database = await createTestDatabase({ migrate: false })
  await using folder = await ProjectFolder.create()
  const options = { cwd: folder.path, env: { DATABASE_URL: database.url } }
  const written = await tidemark(['init'], options)
  expect(written.code).toBe(0)
  expect(written.stdout).toContain('wrote tidemark.config.ts')
  expect(written.stdout).not.toContain('.d.ts')
  const content = JSON.parse(await readFile(join(folder.path, 'package.json'), 'utf8')) as object
  expect(content).toMatchObject({ type: 'module', dependencies: { tidemark: expect.any(String) } })

  const own = (await import(join(folder.path, 'db/migrate.ts'))) as {
    migrate: (url: string) => Promise<void>
  }
  await own.migrate(database.url)
  expect((await tidemark(['migrate', 'up'], options)).code).toBe(0)
  await using worker = new TidemarkTask(['worker'], options)
  await worker.printed('stderr', 'the worker runs')
  // What it tells people to do next is what is done here.
  const told = /npx tidemark (publish \S+) '(.*)'/u.exec(written.stderr)
  const published = await tidemark([...(told?.[1] ?? '').split(' '), told?.[2] ?? ''], options)
  expect(published.stdout).toBe('Published accounts.account_opened as 1.\n')
  expect((await tidemark(['wait', 'accounts.open_accounts', '1'], options)).code).toBe(0)
  const shown = await tidemark(['projection', 'show', 'accounts.open_accounts'], options)
  expect(shown.stdout).toContain('{"open":1,"everOpened":1}')
  worker.stop()
  expect((await worker.answer()).code).toBe(0)
})

test('npm create tidemark writes a project into a folder of its own, and overwrites nothing', async () => {
  await using folder = await ProjectFolder.create()
  const main = fileURLToPath(new URL('../../packages/create-tidemark/src/main.ts', import.meta.url))
  const create = (): Promise<{ readonly stdout: string; readonly stderr: string }> =>
    promisify(execFile)(process.execPath, ['--conditions=@tidemark/source', main, 'my-app'], {
      cwd: folder.path,
    })
  const { stdout, stderr } = await create()
  expect(stdout).toContain('wrote accounts/open-account.ts')
  expect(stderr).toMatch(/Next:\n {2}cd my-app\n {2}npm install\n/)
  const content = await readFile(join(folder.path, 'my-app/package.json'), 'utf8')
  expect(JSON.parse(content)).toMatchObject({ name: 'my-app', private: true })
  await expect(create()).rejects.toThrow('exists already')
})

test('what init writes type-checks, and its tests pass', async () => {
  await using folder = await ProjectFolder.create()
  expect((await tidemark(['init'], { cwd: folder.path })).code).toBe(0)
  for (const kind of ['event', 'listener', 'projection', 'job']) {
    const { code } = await tidemark(['generate', kind, `orders.one_${kind}`], { cwd: folder.path })
    expect(code).toBe(0)
  }
  const again = await tidemark(['generate', 'job', 'orders.one_job'], { cwd: folder.path })
  expect(again).toMatchObject({ code: exitCode.failure })
  expect(await typeCheck(folder.path)).toBe('')
  // As its own configuration, with the packages' sources: nothing need be built here.
  await folder.write('with-sources.config.ts', withSources)
  const vitest = join(folder.path, 'node_modules/vitest/vitest.mjs')
  const { stdout } = await promisify(execFile)(
    process.execPath,
    ['--conditions=@tidemark/source', vitest, 'run', '--config', 'with-sources.config.ts'],
    { cwd: folder.path },
  )
  expect(stdout).toContain('3 passed')
})

test('what init writes with node:test and a framework serves accounts, and its tests pass', async () => {
  await using database = await createTestDatabase()
  await using folder = await ProjectFolder.create()
  const options = { cwd: folder.path, env: { DATABASE_URL: database.url } }
  for (const framework of ['fastify', 'hono', 'express']) {
    const args = ['init', framework, '--framework', framework, '--runner', 'node']
    expect((await tidemark(args, options)).code).toBe(0)
  }
  const run = (project: string, ...args: readonly string[]) =>
    promisify(execFile)(process.execPath, ['--conditions=@tidemark/source', ...args], {
      cwd: join(folder.path, project),
    })
  const { stdout } = await run('hono', '--test')
  expect(stdout).toMatch(/^# pass 3$|ℹ pass 3$/mu)
  const own = (await import(join(folder.path, 'hono/db/migrate.ts'))) as {
    migrate: (url: string) => Promise<void>
  }
  await own.migrate(database.url)
  for (const framework of ['fastify', 'hono', 'express']) {
    expect(await typeCheck(join(folder.path, framework))).toBe('')
    const port = await freePort()
    await using _ = await serving(join(folder.path, framework), {
      DATABASE_URL: database.url,
      PORT: String(port),
    })
    const post = (body: unknown): Promise<Response> =>
      fetch(`http://localhost:${port}/accounts`, {
        method: 'POST',
        headers: { 'content-type': 'application/json' },
        body: JSON.stringify(body),
      })
    const email = `${framework}@example.com`
    expect((await post({ id: framework, email })).status).toBe(201)
    expect((await post({ id: framework, email: 'nobody' })).status).toBe(400)
    const page = await fetch(`http://localhost:${port}/tidemark/api/overview`)
    expect(page.status).toBe(200)
  }
  const { rows } = await database.query('SELECT id FROM accounts ORDER BY id')
  expect(rows).toEqual([{ id: 'express' }, { id: 'fastify' }, { id: 'hono' }])
  const { rows: events } = await database.query('SELECT count(*)::int AS n FROM tidemark.events')
  expect(events).toEqual([{ n: 3 }])
})

test('init asks at a terminal for what it was not told, and offers what the project has', async () => {
  await using folder = await ProjectFolder.create({
    'package.json': '{"dependencies":{"drizzle-orm":"1","fastify":"5","kysely":"1"}}',
  })
  const asked: Question[] = []
  const io = (choose: CliIo['choose']): CliIo => ({
    stdout: () => undefined,
    stderr: () => undefined,
    stdin: async () => '',
    env: {},
    cwd: folder.path,
    colors: { stdout: false, stderr: false },
    stopSignal: () => new AbortController().signal,
    choose,
  })
  expect(
    await runCli(
      ['init'],
      io(async () => undefined),
    ),
  ).toBe(exitCode.failure)
  expect((await readdir(folder.path)).toSorted()).toEqual(['node_modules', 'package.json'])

  const answer = async (question: Question): Promise<string> => {
    asked.push(question)
    return question.initial
  }
  expect(await runCli(['init', '--runner', 'node'], io(answer))).toBe(0)
  expect(asked.map(({ question, initial }) => [question, initial])).toEqual([
    ['What serves HTTP?', 'fastify'],
    ['What do you write SQL with?', 'drizzle'],
  ])
  // With a runner of one's own it is none of Nest, which is written in one way.
  expect(asked[0]?.options).not.toContain('nest')
  const written = await readFile(join(folder.path, 'app.ts'), 'utf8')
  expect(written).toContain("from 'drizzle-orm/node-postgres'")

  // Whoever chooses Nest is asked no more.
  const nest = async (question: Question): Promise<string> => {
    asked.push(question)
    return 'nest'
  }
  asked.length = 0
  expect(await runCli(['init', 'shop'], io(nest))).toBe(0)
  expect(asked.map(({ question }) => question)).toEqual(['What serves HTTP?'])
  expect(await readdir(folder.path)).toContain('server.ts')
})

test('what init writes for Nest is what the page about it shows', async () => {
  await using folder = await ProjectFolder.create()
  const { code } = await tidemark(['init', 'shop', '--framework', 'nest'], { cwd: folder.path })
  expect(code).toBe(0)
  const page = await readFile(new URL('../../docs/nestjs.md', import.meta.url), 'utf8')
  const shown = [...page.matchAll(/^```\w+\n\/\/ (?<path>\S+)\n(?<text>[^]*?)^```$/gmu)]
  expect(shown.length).toBeGreaterThanOrEqual(6)
  for (const { groups } of shown) {
    const { path = '', text } = groups ?? {}
    expect({ path, text: await readFile(join(folder.path, 'shop', path), 'utf8') }).toEqual({
      path,
      text,
    })
  }
  const clash = await tidemark(['init', 'other', '--framework', 'nest', '--orm', 'knex'], {
    cwd: folder.path,
  })
  expect(clash).toMatchObject({ code: exitCode.usage, stderr: expect.stringContaining('--orm') })
})

test('init overwrites nothing: with one of its files there it writes none', async () => {
  await using folder = await ProjectFolder.create({ 'tidemark.config.ts': 'mine' })
  const { code, stderr } = await tidemark(['init'], { cwd: folder.path })
  expect(code).toBe(exitCode.failure)
  expect(stderr).toContain('tidemark.config.ts')
  expect((await readdir(folder.path)).toSorted()).toEqual(['node_modules', 'tidemark.config.ts'])
  expect(await readFile(join(folder.path, 'tidemark.config.ts'), 'utf8')).toBe('mine')
})

test('init leaves the package.json of an existing project alone', async () => {
  await using folder = await ProjectFolder.create({ 'package.json': '{"name":"mine"}' })
  expect((await tidemark(['init', '.'], { cwd: folder.path })).code).toBe(0)
  expect(await readFile(join(folder.path, 'package.json'), 'utf8')).toBe('{"name":"mine"}')
})

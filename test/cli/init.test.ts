import { execFile } from 'node:child_process'
import { readdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { exitCode } from '@tidemark/cli'
import { createTestDatabase } from '@tidemark/testing'
import { expect, test } from 'vitest'
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
  const bin = (name: string) => join(folder.path, 'node_modules/.bin', name)
  const run = (command: string, args: readonly string[]) =>
    promisify(execFile)(command, args, { cwd: folder.path }).catch(
      (error: unknown) => error as { stdout: string; stderr: string },
    )
  // Where the packages are their sources here, a project's own settings are not theirs.
  const types = await run(bin('tsc'), ['--customConditions', '@tidemark/source'])
  expect(types.stdout.split('\n').filter((line) => /^[^.\s].*error TS/u.test(line))).toEqual([])
  // As its own configuration, with the packages' sources: nothing need be built here.
  await folder.write('with-sources.config.ts', withSources)
  const tests = await run(process.execPath, [
    '--conditions=@tidemark/source',
    join(folder.path, 'node_modules/vitest/vitest.mjs'),
    'run',
    '--config',
    'with-sources.config.ts',
  ])
  expect(`${tests.stdout}${tests.stderr}`).toContain('3 passed')
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

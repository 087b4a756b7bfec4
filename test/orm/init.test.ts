import { execFile } from 'node:child_process'
import { mkdir, mkdtemp, readdir, rm, symlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest'
import { tidemark } from '../cli/tidemark.ts'
import { missing } from '../support/install.ts'
import { typeCheck } from '../support/type-check.ts'

const root = fileURLToPath(new URL('../../', import.meta.url))
const globalSetup = join(root, 'packages/testing/src/vitest/global-setup.ts')
const here = new URL('./', import.meta.url)
const prisma = new URL('prisma/', import.meta.url)
const reason = (await missing(here)) ?? (await missing(prisma))
const orms = ['drizzle', 'prisma', 'typeorm', 'knex', 'mikro-orm', 'sequelize', 'pg'] as const

/** A folder with what is installed in several: npm would have put it all into one. */
async function joined(folder: string, sources: readonly string[]): Promise<void> {
  const modules = join(folder, 'node_modules')
  await mkdir(modules)
  for (const source of sources) {
    for (const name of await readdir(source)) {
      const scoped = name.startsWith('@')
      if (scoped) await mkdir(join(modules, name), { recursive: true })
      const names = scoped
        ? (await readdir(join(source, name))).map((one) => join(name, one))
        : [name]
      for (const one of names) {
        // What is there already goes before.
        await symlink(join(source, one), join(modules, one)).catch(() => undefined)
      }
    }
  }
}

const execute = promisify(execFile)
const run = (command: string, args: readonly string[], cwd: string): Promise<string> =>
  execute(command, args, { cwd }).then(
    ({ stdout, stderr }) => stdout + stderr,
    ({ stdout, stderr }: { stdout: string; stderr: string }) => stdout + stderr,
  )

// Seven projects, compiled and tested.
vi.setConfig({ testTimeout: 240_000, hookTimeout: 240_000 })

describe.skipIf(reason !== undefined)(`what init writes for an ORM${reason ?? ''}`, () => {
  let folder = ''

  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'tidemark-init-'))
    await joined(folder, [
      fileURLToPath(new URL('node_modules', prisma)),
      fileURLToPath(new URL('node_modules', here)),
      join(root, 'node_modules'),
    ])
    for (const orm of orms) {
      const { code, stderr } = await tidemark(['init', orm, '--orm', orm], { cwd: folder })
      if (code !== 0) throw new Error(stderr)
    }
    const generate = ['node_modules/prisma/build/index.js', 'generate', '--config']
    const env = {
      ...process.env,
      PRISMA_SCHEMA_ENGINE_BINARY: '/bin/true',
      CHECKPOINT_DISABLE: '1',
    }
    await execute(
      process.execPath,
      [join(folder, ...generate.slice(0, 1)), ...generate.slice(1), 'prisma.config.ts'],
      {
        cwd: join(folder, 'prisma'),
        env,
      },
    )
  })

  // What vitest keeps there may still be written.
  afterAll(() => rm(folder, { recursive: true, force: true, maxRetries: 10 }))

  test('type-checks with each', async () => {
    for (const orm of orms) {
      expect({ orm, told: await typeCheck(join(folder, orm)) }).toEqual({ orm, told: '' })
    }
  })

  // All of them with TIDEMARK_RUNS: what transactions do with each is tested beside this file.
  const tried =
    process.env['TIDEMARK_RUNS'] === undefined ? (['drizzle', 'typeorm'] as const) : orms

  test('passes its own tests', async () => {
    const conditions = ['@tidemark/source', 'node', 'development|production']
    const config = {
      resolve: { conditions },
      ssr: { resolve: { conditions, externalConditions: ['@tidemark/source'] } },
      test: {
        globalSetup,
        projects: tried.map((orm) => ({
          extends: true,
          test: { name: orm, root: join(folder, orm) },
        })),
      },
    }
    await writeFile(join(folder, 'vitest.config.ts'), `export default ${JSON.stringify(config)}\n`)
    const vitest = join(root, 'node_modules/vitest/vitest.mjs')
    const told = await run(
      process.execPath,
      ['--conditions=@tidemark/source', vitest, 'run'],
      folder,
    )
    expect(told).toContain(`${3 * tried.length} passed`)
  })
})

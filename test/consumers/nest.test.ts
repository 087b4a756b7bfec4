import { cp, mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { createTestDatabase, type TestDatabase } from '@tidemark/testing'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { missing } from '../support/install.ts'
import { installPacked, publishedPackages, run } from './packed-packages.ts'

const root = fileURLToPath(new URL('../../', import.meta.url))
const here = fileURLToPath(new URL('./', import.meta.url))
const reason = await missing(new URL('./', import.meta.url))
// Another major version of Nest than the latest: 11. Its programs then run on Node 22, the oldest that Tidemark runs on.
const nest = process.env['TIDEMARK_TEST_NEST']
const node22 = join(here, `node_modules/node-22-${process.platform}-${process.arch}/bin/node`)
const runtime = nest === undefined ? process.execPath : node22
const page = await readFile(join(root, 'docs/nestjs.md'), 'utf8')

const environment = (url: string): Record<string, string> => ({
  DATABASE_URL: url,
  TIDEMARK_TEST_DATABASE_URL: url,
  CI: '',
})

/** What the page has readers install, with the packages of this repository as they would be published. */
async function install(folder: string): Promise<void> {
  const lines = [...page.matchAll(/^npm install (?<names>.*)$/gmu)].slice(0, 2)
  const wanted = lines
    .flatMap(({ groups }) => (groups?.['names'] ?? '').split(' '))
    .filter((name) => name !== '--save-dev')
  const ours = (await publishedPackages()).filter(({ name }) => wanted.includes(name))
  expect(ours).toHaveLength(3)
  const others = wanted
    .filter((name) => ours.every((one) => one.name !== name))
    .map((name) => (nest === undefined || !name.startsWith('@nestjs/') ? name : `${name}@${nest}`))
  await installPacked(folder, ours, others)
}

describe.skipIf(reason !== undefined)(
  `the page about Nest, by packed packages${reason ?? ''}`,
  () => {
    let folder = ''
    let database: TestDatabase

    beforeAll(async () => {
      folder = await mkdtemp(join(tmpdir(), 'tidemark-nest-'))
      database = await createTestDatabase({ migrate: false })
      await install(folder)
    }, 240_000)

    afterAll(async () => {
      await database[Symbol.asyncDispose]()
      await rm(folder, { recursive: true })
    })

    test('its files compile, and its test passes', async () => {
      for (const { groups } of page.matchAll(
        /^```\w+\n(?<file>\/\/ (?<path>\S+)\n[^]*?)^```$/gmu,
      )) {
        const { file = '', path = '' } = groups ?? {}
        await mkdir(dirname(join(folder, path)), { recursive: true })
        await writeFile(join(folder, path), file)
      }
      expect(await run('npx', ['tsc'], folder)).toEqual({ code: 0, output: '' })
      const { code, output } = await run(
        runtime,
        ['node_modules/vitest/vitest.mjs', 'run', '--testTimeout=60000', '--hookTimeout=60000'],
        folder,
        environment(database.url),
      )
      expect({ code, output }).toEqual({ code: 0, output: expect.stringContaining('1 passed') })
    })

    test.each([5, 7])(
      'standard decorators compile with TypeScript %i, and do the same',
      async (version) => {
        const project = join(folder, `standard-${version}`)
        await mkdir(project)
        await cp(
          join(here, 'programs/standard-decorators.ts'),
          join(project, 'standard-decorators.ts'),
        )
        const compilerOptions = {
          target: 'es2023',
          lib: ['es2024'],
          module: 'nodenext',
          strict: true,
          skipLibCheck: true,
          types: ['node'],
        }
        await writeFile(join(project, 'tsconfig.json'), JSON.stringify({ compilerOptions }))
        const compiler = join(here, `node_modules/typescript-${version}/lib/tsc.js`)
        expect(await run(process.execPath, [compiler, '-p', project], folder)).toEqual({
          code: 0,
          output: '',
        })
        await using empty = await createTestDatabase({ migrate: false })
        const program = join(project, 'standard-decorators.js')
        expect(await run(runtime, [program], folder, environment(empty.url))).toEqual({
          code: 0,
          output: "hello ada under greeting\n[ 'yearly' ]\n",
        })
      },
    )
  },
)

import { execFile } from 'node:child_process'
import { cp, mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { createTestDatabase, type TestDatabase } from '@tidemark/testing'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { missing } from '../support/install.ts'

const root = fileURLToPath(new URL('../../', import.meta.url))
const here = fileURLToPath(new URL('./', import.meta.url))
const reason = await missing(new URL('./', import.meta.url))
// Another major version of Nest than the latest: 11. Its programs then run on Node 22, the oldest that Tidemark runs on.
const nest = process.env['TIDEMARK_TEST_NEST']
const node22 = join(here, `node_modules/node-22-${process.platform}-${process.arch}/bin/node`)
const runtime = nest === undefined ? process.execPath : node22
const page = await readFile(join(root, 'docs/nestjs.md'), 'utf8')

interface Answer {
  readonly code: number
  readonly output: string
}

function run(command: string, args: readonly string[], cwd: string, url = ''): Promise<Answer> {
  return new Promise((resolve) => {
    const env = { ...process.env, DATABASE_URL: url, TIDEMARK_TEST_DATABASE_URL: url, CI: '' }
    execFile(command, args, { cwd, env }, (error, out, err) => {
      resolve({ code: error === null ? 0 : Number(error.code ?? 1), output: `${out}${err}` })
    })
  })
}

/** What the page has readers install, with the packages of this repository as they would be published. */
async function install(folder: string): Promise<void> {
  const exec = promisify(execFile)
  await exec(join(root, 'node_modules/.bin/tsc'), ['-b', 'packages/nestjs', 'packages/testing'], {
    cwd: root,
  })
  const packs = join(folder, 'packs')
  await mkdir(packs)
  const packed = { tidemark: 'core', '@tidemark/nestjs': 'nestjs', '@tidemark/testing': 'testing' }
  for (const name of Object.values(packed)) {
    const from = join(root, 'packages', name)
    await exec('npm', ['pack', '--ignore-scripts', '--pack-destination', packs], { cwd: from })
  }
  const files = await readdir(packs)
  const lines = [...page.matchAll(/^npm install (?<names>.*)$/gmu)].slice(0, 2)
  const wanted = lines
    .flatMap(({ groups }) => (groups?.['names'] ?? '').split(' '))
    .filter((name) => name !== '--save-dev')
  const added = wanted.map((name) => {
    const file = name.replace('@', '').replace('/', '-')
    const ours = name in packed ? files.find((one) => one.startsWith(`${file}-0`)) : undefined
    if (ours !== undefined) return `./packs/${ours}`
    return nest === undefined || !name.startsWith('@nestjs/') ? name : `${name}@${nest}`
  })
  expect(added.filter((name) => name.startsWith('./packs/'))).toHaveLength(3)
  await writeFile(join(folder, 'package.json'), '{ "private": true, "type": "module" }')
  const quiet = ['--no-audit', '--no-fund', '--prefer-offline', '--ignore-scripts']
  await exec('npm', ['install', ...quiet, ...added], { cwd: folder })
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
        database.url,
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
        expect(await run(runtime, [program], folder, empty.url)).toEqual({
          code: 0,
          output: "hello ada under greeting\n[ 'yearly' ]\n",
        })
      },
    )
  },
)

import { execFile } from 'node:child_process'
import { cp, mkdir, mkdtemp, readdir, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { createTestDatabase } from '@tidemark/testing'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { missing } from '../support/install.ts'

const root = fileURLToPath(new URL('../../', import.meta.url))
const here = fileURLToPath(new URL('./', import.meta.url))
const platform = `${process.platform}-${process.arch}`
const reason =
  platform === 'linux-x64'
    ? await missing(new URL('./', import.meta.url))
    : `the versions of Node are installed for linux-x64 only, and this is ${platform}`

interface Answer {
  readonly code: number
  readonly output: string
}

function run(
  command: string,
  args: readonly string[],
  cwd: string,
  env: Readonly<Record<string, string>> = {},
): Promise<Answer> {
  return new Promise((resolve) => {
    execFile(command, args, { cwd, env: { ...process.env, ...env } }, (error, out, err) => {
      resolve({ code: error === null ? 0 : Number(error.code ?? 1), output: `${out}${err}` })
    })
  })
}

async function succeed(command: string, args: readonly string[], cwd: string): Promise<string> {
  const { code, output } = await run(command, args, cwd)
  if (code !== 0) throw new Error(`${command} ${args.join(' ')} failed:\n${output}`)
  return output
}

/** A folder like a consumer's, with nothing in it but what npm installs of the packed packages. */
async function freshFolder(): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'tidemark-consumer-'))
  await succeed(join(root, 'node_modules/.bin/tsc'), ['-b', 'packages/cli', 'packages/http'], root)
  const packs = join(folder, 'packs')
  await mkdir(packs)
  for (const name of ['core', 'http', 'cli']) {
    const from = join(root, 'packages', name)
    await succeed('npm', ['pack', '--ignore-scripts', '--pack-destination', packs], from)
  }
  await writeFile(join(folder, 'package.json'), '{ "private": true, "type": "module" }')
  const tarballs = (await readdir(packs)).map((file) => `./packs/${file}`)
  // What README says: the packages and zod. The rest are peers, or what every project in TypeScript has.
  const added = [...tarballs, 'zod@4.6.7', '@types/node@24.10.1']
  const quiet = ['--no-audit', '--no-fund', '--prefer-offline', '--ignore-scripts']
  await succeed('npm', ['install', ...quiet, ...added], folder)
  await cp(join(here, 'programs'), folder, { recursive: true })
  return folder
}

const settings = {
  nodenext: { module: 'nodenext', moduleResolution: 'nodenext' },
  bundler: { module: 'esnext', moduleResolution: 'bundler' },
}
const told = '{"seen":["36893488147419103232"],"total":"36893488147419103232","output":42}\n'

describe.skipIf(reason !== undefined)(`packed packages in a fresh folder${reason ?? ''}`, () => {
  let folder = ''

  beforeAll(async () => {
    folder = await freshFolder()
  }, 120_000)

  afterAll(async () => {
    if (folder !== '') await rm(folder, { recursive: true })
  })

  const node = (version: number): string =>
    join(here, `node_modules/node-${version}-${platform}/bin/node`)

  describe.each([5, 7])('TypeScript %i', (version) => {
    test.each(Object.keys(settings))('compiles with %s, and checks the libraries', async (kind) => {
      const config = {
        compilerOptions: {
          ...settings[kind as keyof typeof settings],
          target: 'es2022',
          strict: true,
          exactOptionalPropertyTypes: true,
          skipLibCheck: false,
          outDir: `out-${version}-${kind}`,
          types: ['node'],
        },
        include: ['consumer.ts'],
      }
      const project = `tsconfig-${version}-${kind}.json`
      await writeFile(join(folder, project), JSON.stringify(config))
      const compiler = join(here, `node_modules/typescript-${version}/lib/tsc.js`)
      expect(await run(process.execPath, [compiler, '-p', project], folder)).toEqual({
        code: 0,
        output: '',
      })
      await using database = await createTestDatabase({ migrate: false })
      const compiled = join(`out-${version}-${kind}`, 'consumer.js')
      expect(await run(node(22), [compiled], folder, { DATABASE_URL: database.url })).toEqual({
        code: 0,
        output: told,
      })
    })
  })

  describe.each([22, 24])('Node %i', (version) => {
    test.each(['consumer.mjs', 'consumer.cjs'])('runs %s', async (program) => {
      await using database = await createTestDatabase({ migrate: false })
      expect(await run(node(version), [program], folder, { DATABASE_URL: database.url })).toEqual({
        code: 0,
        output: told,
      })
    })

    test('runs the command line', async () => {
      const cli = 'node_modules/@tidemark/cli/dist/main.js'
      const { code, output } = await run(node(version), [cli, '--version'], folder)
      expect({ code, output }).toEqual({ code: 0, output: expect.stringMatching(/^\S*\d+\.\d+/u) })
    })
  })

  test('an older Node is told what is needed', async () => {
    const needed = 'Tidemark needs Node 22.12 or newer, and this is Node 20.8.0'
    for (const program of ['consumer.mjs', 'node_modules/@tidemark/cli/dist/main.js']) {
      const { code, output } = await run(node(20), [program, '--version'], folder)
      expect(code).toBe(1)
      expect(output).toContain(needed)
    }
  })
})

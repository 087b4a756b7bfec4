import { cp, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { createTestDatabase } from '@tidemark/testing'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { missing } from '../support/install.ts'
import {
  installPacked,
  lockedVersions,
  publishedPackages,
  run,
  type Published,
} from './packed-packages.ts'

const here = fileURLToPath(new URL('./', import.meta.url))
const platform = `${process.platform}-${process.arch}`
const reason =
  platform === 'linux-x64'
    ? await missing(new URL('./', import.meta.url))
    : `the versions of Node are installed for linux-x64 only, and this is ${platform}`

const published = await publishedPackages()
const versions = await lockedVersions()
const called = (...names: string[]): Published[] =>
  published.filter(({ name }) => names.includes(name))

/** A folder like a consumer's, with nothing in it but what npm installs of the packed packages. */
async function freshFolder(): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'tidemark-consumer-'))
  // What README says: the packages and zod. The rest are peers, or what every project in TypeScript has.
  const added = ['zod@4.6.7', '@types/node@24.10.1']
  await installPacked(folder, called('tidemark', '@tidemark/http', '@tidemark/cli'), added)
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

  const compiled = [
    { version: 5, kind: 'nodenext' as const },
    { version: 7, kind: 'bundler' as const },
  ]
  // Each with each with TIDEMARK_RUNS: what an old compiler or a bundler may see otherwise, these two see.
  if (process.env['TIDEMARK_RUNS'] !== undefined) {
    compiled.push({ version: 5, kind: 'bundler' }, { version: 7, kind: 'nodenext' })
  }

  test.each(compiled)(
    'compiles with TypeScript $version and $kind, and checks the libraries',
    async ({ version, kind }) => {
      const config = {
        compilerOptions: {
          ...settings[kind],
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
      const program = join(`out-${version}-${kind}`, 'consumer.js')
      expect(await run(node(22), [program], folder, { DATABASE_URL: database.url })).toEqual({
        code: 0,
        output: told,
      })
    },
  )

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

  describe('with all packages beside them', () => {
    const entries = published.flatMap((one) => one.entries)
    // They start containers, or want the SDK in an application that has one: nothing that is imported needs them.
    const left = new Set(['testcontainers', '@opentelemetry/sdk-node', '@opentelemetry/api'])

    beforeAll(async () => {
      const ours = new Set(published.map(({ name }) => name))
      const peers = new Set(published.flatMap((one) => one.optionalPeers))
      const others = [...peers]
        .filter((name) => !ours.has(name) && !left.has(name))
        .map((name) => `${name}@${versions.get(name)}`)
      await installPacked(folder, published, others)
      const lines = entries.map((name, n) => `export * as entry${n} from '${name}'\n`)
      await writeFile(join(folder, 'entries.ts'), lines.join(''))
      const counts = (load: string): string =>
        `for (const name of ${JSON.stringify(entries)}) console.log(name, typeof (${load}(name)))\n`
      await writeFile(join(folder, 'entries.mjs'), counts('await import'))
      await writeFile(join(folder, 'entries.cjs'), counts('require'))
    }, 240_000)

    test.each(compiled.slice(0, 2))(
      'the types of every entry hold with TypeScript $version and $kind',
      async (given) => {
        const { version, kind } = given
        // Without exactOptionalPropertyTypes: the types of NATS do not hold with it.
        const compilerOptions = {
          ...settings[kind],
          target: 'es2022',
          strict: true,
          skipLibCheck: false,
          noEmit: true,
          types: ['node'],
        }
        const project = `entries-${version}.json`
        const config = { compilerOptions, include: ['entries.ts'] }
        await writeFile(join(folder, project), JSON.stringify(config))
        const compiler = join(here, `node_modules/typescript-${version}/lib/tsc.js`)
        const answer = await run(process.execPath, [compiler, '-p', project], folder)
        expect(answer).toEqual({ code: 0, output: '' })
      },
    )

    test.each([22, 24])('every entry can be imported and required by Node %i', async (version) => {
      for (const program of ['entries.mjs', 'entries.cjs']) {
        const { code, output } = await run(node(version), [program], folder)
        const lines = entries.map((name) => `${name} object\n`).join('')
        expect({ program, code, output }).toEqual({ program, code: 0, output: lines })
      }
    })
  })
})

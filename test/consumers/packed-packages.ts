import { execFile } from 'node:child_process'
import { globSync } from 'node:fs'
import { mkdir, readdir, readFile, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'

const root = fileURLToPath(new URL('../../', import.meta.url))

export interface Answer {
  readonly code: number
  readonly output: string
}

/** Runs a command to its end, and answers what both of its streams said. */
export function run(
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

/** A package of this repository that is published. */
export interface Published {
  readonly name: string
  readonly folder: string
  /** What can be imported of it: `tidemark/kysely`. */
  readonly entries: readonly string[]
  /** Those that npm does not install by itself. */
  readonly optionalPeers: readonly string[]
}

interface Manifest {
  readonly name: string
  readonly private?: boolean
  readonly exports?: Readonly<Record<string, unknown>>
  readonly peerDependenciesMeta?: Readonly<Record<string, unknown>>
}

export async function publishedPackages(): Promise<Published[]> {
  const files = globSync('packages/*/package.json', { cwd: root }).toSorted()
  const manifests = await Promise.all(
    files.map(async (file) => ({
      folder: join(root, dirname(file)),
      ...(JSON.parse(await readFile(join(root, file), 'utf8')) as Manifest),
    })),
  )
  return manifests
    .filter((one) => one.private !== true)
    .map(({ name, folder, exports = {}, peerDependenciesMeta = {} }) => ({
      name,
      folder,
      entries: Object.keys(exports).map((path) => `${name}${path.slice(1)}`),
      optionalPeers: Object.keys(peerDependenciesMeta),
    }))
}

/** Those that the lock file of this repository has: npm then has them at hand, and what is tried is the same every day. */
export async function lockedVersions(): Promise<Map<string, string>> {
  const { packages } = JSON.parse(await readFile(join(root, 'package-lock.json'), 'utf8')) as {
    packages: Readonly<Record<string, { readonly version: string }>>
  }
  const prefix = 'node_modules/'
  return new Map(
    Object.entries(packages)
      .filter(([path]) => path.startsWith(prefix))
      .map(([path, { version }]) => [path.slice(prefix.length), version]),
  )
}

async function succeed(command: string, args: readonly string[], cwd: string): Promise<void> {
  const { code, output } = await run(command, args, cwd)
  if (code !== 0) throw new Error(`${command} ${args.join(' ')} failed:\n${output}`)
}

const exec = promisify(execFile)

/**
 * Packs these packages as they would be published, and installs them in the folder with whatever else npm is told.
 * They have been compiled before; the page of the console is built when it is among them.
 */
export async function installPacked(
  folder: string,
  packages: readonly Published[],
  others: readonly string[],
): Promise<void> {
  const projects = packages.map((one) => one.folder)
  await succeed(join(root, 'node_modules/.bin/tsc'), ['-b', ...projects], root)
  const packs = join(folder, 'packs')
  await mkdir(packs, { recursive: true })
  await Promise.all(
    packages.map(async ({ name, folder: from }) => {
      if (name === '@tidemark/console') {
        const embed = ['--conditions=@tidemark/source', 'src/page/embed.ts']
        await succeed(process.execPath, embed, from)
      }
      await exec('npm', ['pack', '--ignore-scripts', '--pack-destination', packs], { cwd: from })
    }),
  )
  const manifest = join(folder, 'package.json')
  await writeFile(manifest, '{ "private": true, "type": "module" }', { flag: 'wx' }).catch(
    () => undefined,
  )
  const names = new Set(packages.map(({ name }) => name.replace('@', '').replace('/', '-')))
  const tarballs = (await readdir(packs))
    .filter((file) => names.has(file.replace(/-\d+\.\d+\.\d+.*$/u, '')))
    .map((file) => `./packs/${file}`)
  const quiet = ['--no-audit', '--no-fund', '--prefer-offline', '--ignore-scripts']
  await succeed('npm', ['install', ...quiet, ...tarballs, ...others], folder)
}

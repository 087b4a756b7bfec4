import { existsSync } from 'node:fs'
import { dirname, join, relative, resolve } from 'node:path'
import { pathToFileURL } from 'node:url'
import type { App } from 'tidemark'
import { CliError, usageError } from '../cli-error.ts'
import type { CliIo } from '../io.ts'

/** A `tidemark.config.ts` that has been loaded. */
export interface Config {
  /** Its path, as the user would write it. */
  readonly path: string
  /** Its default export. */
  readonly app: App
}

const fileNames = [
  'tidemark.config.ts',
  'tidemark.config.mts',
  'tidemark.config.js',
  'tidemark.config.mjs',
]

/**
 * Loads the config: the named file, or the nearest one from the working directory upwards.
 *
 * @returns undefined when there is none.
 */
export async function loadConfig(
  io: CliIo,
  named: string | undefined,
): Promise<Config | undefined> {
  const path = named === undefined ? findConfig(io.cwd) : resolve(io.cwd, named)
  if (path === undefined) return undefined
  const shown = relative(io.cwd, path) || path
  if (!existsSync(path)) throw usageError(`there is no config at ${shown}`)
  const module = await importConfig(path, shown)
  if (!isApp(module.default)) {
    throw new CliError(`${shown} has no application as its default export`, {
      hint: 'Write `export default defineApp({ modules: [ … ] })`.',
    })
  }
  return { path: shown, app: module.default }
}

/**
 * Finds the config without loading it.
 *
 * @param given - what `--config` and `--no-config` say.
 * @throws CliError when there is none.
 */
export function requireConfigPath(io: CliIo, given: string | boolean | undefined): string {
  const path = typeof given === 'string' ? resolve(io.cwd, given) : findConfig(io.cwd)
  if (given === false || path === undefined) throw noConfig()
  if (!existsSync(path)) throw usageError(`there is no config at ${relative(io.cwd, path)}`)
  return path
}

/** What a command says that cannot work without a config. */
export function noConfig(): CliError {
  return usageError(
    'this needs the definitions of an application, and there is no tidemark.config.ts here or above',
    'Run it in the project, name the file with --config, or write one with `tidemark init`.',
  )
}

interface ConfigModule {
  readonly default?: unknown
}

async function importConfig(path: string, shown: string): Promise<ConfigModule> {
  try {
    return (await import(pathToFileURL(path).href)) as ConfigModule
  } catch (cause) {
    const reason = cause instanceof Error ? cause.message : String(cause)
    throw new CliError(`${shown} could not be loaded: ${reason}`, {
      hint: 'Add --verbose to see where it failed. Node runs the file as it is: it can only have syntax that Node can strip.',
      cause,
    })
  }
}

// By shape, not by class: the config may import another copy of the library than this package does.
function isApp(value: unknown): value is App {
  const candidate = value as Partial<App> | null | undefined
  return (
    typeof candidate === 'object' &&
    typeof candidate?.transaction === 'function' &&
    typeof candidate.start === 'function' &&
    typeof candidate.options === 'object'
  )
}

function findConfig(from: string): string | undefined {
  for (let directory = from; ; directory = dirname(directory)) {
    const found = fileNames.map((name) => join(directory, name)).find((path) => existsSync(path))
    if (found !== undefined) return found
    if (dirname(directory) === directory) return undefined
  }
}

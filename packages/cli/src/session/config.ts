import { execFile } from 'node:child_process'
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
    const place = await placeOf(cause, path)
    throw new CliError(
      `${shown} could not be loaded: ${place === undefined ? '' : `${place}: `}${reason}`,
      {
        hint: 'Add --verbose to see all of it. Node runs the files as they are: they can only have syntax that Node can strip.',
        cause,
      },
    )
  }
}

/** The file and the line of the user's that an error names: where it could not be read, or else where it was thrown. */
async function placeOf(error: unknown, config: string): Promise<string | undefined> {
  const stack = error instanceof Error ? (error.stack ?? '') : ''
  // What V8 refuses it names to nobody but a process that ends of it; nothing has been evaluated by then.
  const told = stack.includes('compileSourceTextModule') ? await lastWords(config) : stack
  const unreadable = /^(?:file:\/\/)?(\/.+|[A-Za-z]:.+):(\d+)\n/u.exec(told)
  const thrown = /^ +at .*?(?:file:\/\/)(.+?):(\d+):\d+\)?$/mu.exec(
    stack.replaceAll(/^.*\/node_modules\/.*$/gmu, ''),
  )
  const [, file, line] = unreadable ?? thrown ?? []
  return file === undefined ? undefined : `${relative(dirname(config), decodeURI(file))}:${line}`
}

/** What a process says on stderr that cannot load the config. */
async function lastWords(config: string): Promise<string> {
  const program = `await import(${JSON.stringify(pathToFileURL(config).href)})`
  const args = [...process.execArgv, '--input-type=module', '--eval', program]
  return new Promise((settle) => {
    execFile(process.execPath, args, { timeout: 10_000 }, (_, __, stderr) =>
      settle(stderr.trimStart()),
    )
  })
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

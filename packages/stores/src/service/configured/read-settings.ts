import { readFile } from 'node:fs/promises'
import { TidemarkError } from 'tidemark'
import {
  checkedSettings,
  configVariable,
  settingsOfEnvironment,
  type ServiceSettings,
} from './settings.ts'

/** Where settings may come from. */
export interface SettingsSources {
  /** Those of flags, or of a call: before all others. */
  readonly flags?: ServiceSettings
  /** Variables `TIDEMARK_STATE_…`: before the file. Defaults to none. */
  readonly env?: Readonly<Record<string, string | undefined>>
  /** The path of a YAML file. Defaults to the variable TIDEMARK_STATE_CONFIG, else none. */
  readonly file?: string
}

/** What is set, with the one that a service cannot be without. */
export type ReadSettings = ServiceSettings & { readonly socket: string }

/**
 * Reads what is set of a state service: flags before the environment before the file, each setting by itself.
 *
 * @throws TidemarkError TIDEMARK_INVALID_OPTION.
 *
 * @example
 * ```ts
 * import { readSettings } from '@tidemark/stores/service'
 *
 * const settings = await readSettings({ flags: { backend: 'memory' }, env: process.env })
 * console.log(settings.socket)
 * ```
 */
export async function readSettings({
  flags = {},
  env = {},
  file = env[configVariable],
}: SettingsSources): Promise<ReadSettings> {
  const set: ServiceSettings = {
    ...(file === undefined || file === '' ? {} : checkedSettings(file, await readYaml(file))),
    ...settingsOfEnvironment(env),
    ...checkedSettings('the flags', flags),
  }
  if (set.socket !== undefined) return { ...set, socket: set.socket }
  throw new TidemarkError('TIDEMARK_INVALID_OPTION', 'a state service needs the path of a socket', {
    hint: 'Give `--socket`, TIDEMARK_STATE_SOCKET, or `socket` in the file.',
    details: { option: 'socket' },
  })
}

async function readYaml(path: string): Promise<unknown> {
  try {
    const text = await readFile(path, 'utf8')
    const { parse } = await import('yaml').catch((cause: unknown) => {
      throw missing('yaml', `to read ${path}`, cause)
    })
    return parse(text)
  } catch (cause) {
    if (cause instanceof TidemarkError) throw cause
    const reason = cause instanceof Error ? cause.message : String(cause)
    throw new TidemarkError('TIDEMARK_INVALID_OPTION', `${path} cannot be read: ${reason}`, {
      details: { file: path },
      cause,
    })
  }
}

/** The error of a package that is not there and is needed. */
export function missing(name: string, why: string, cause: unknown): TidemarkError {
  return new TidemarkError(
    'TIDEMARK_INVALID_OPTION',
    `the package "${name}" is needed ${why}, and cannot be loaded`,
    { hint: `Run \`npm install ${name}\`.`, cause, details: { package: name } },
  )
}

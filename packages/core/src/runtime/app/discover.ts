// As a whole: an older Node, which has no `glob`, must come as far as being told so.
import * as fs from 'node:fs/promises'
import { resolve } from 'node:path'
import { pathToFileURL } from 'node:url'
import { requireText } from '../../errors/checked-text.ts'
import { messageOf } from '../../errors/describe-error.ts'
import { rejectUnknownOptions, requireTexts } from '../../errors/options.ts'
import { TidemarkError } from '../../errors/tidemark-error.ts'
import { namedDefinitions, type Module } from './modules.ts'

/** Where {@link discover} looks. */
export interface DiscoverOptions {
  /** The directory that patterns are relative to: `import.meta.dirname`. Defaults to the working directory. */
  readonly from?: string
}

/**
 * Loads the modules whose files match, in the order of their paths, for `defineApp({ modules })`.
 *
 * @param patterns - globs, as `node:fs` understands them.
 * @throws TidemarkError TIDEMARK_INVALID_OPTION for a pattern that matches nothing, and for a file that cannot be
 * loaded or defines nothing; TIDEMARK_NAME_TAKEN when two files define the same name.
 *
 * @example
 * ```ts
 * import { defineApp, discover } from 'tidemark'
 *
 * // tidemark.config.ts
 * export default defineApp({
 *   modules: await discover('src/modules/*\/module.ts', { from: import.meta.dirname }),
 * })
 * ```
 */
export async function discover(
  patterns: string | readonly string[],
  options: DiscoverOptions = {},
): Promise<Module[]> {
  rejectUnknownOptions('discover', options, ['from'])
  const { from = process.cwd() } = options
  requireText('discover', 'from', from, { most: 4_096 })
  const all: unknown = typeof patterns === 'string' ? [patterns] : patterns
  requireTexts('discover', 'patterns', all)
  const files = new Set<string>()
  for (const pattern of all) {
    let matches = 0
    for await (const file of fs.glob(pattern, { cwd: from })) {
      files.add(file)
      matches += 1
    }
    if (matches > 0) continue
    throw new TidemarkError('TIDEMARK_INVALID_OPTION', `no file matches ${pattern} in ${from}`, {
      hint: 'Patterns are relative to `from`: `discover("modules/*/module.ts", { from: import.meta.dirname })`.',
      details: { pattern, from },
    })
  }
  const modules: Module[] = []
  const owners = new Map<string, { readonly definition: unknown; readonly file: string }>()
  for (const file of [...files].toSorted()) {
    const module = await load(file, resolve(from, file))
    for (const { what, name, definition } of namedDefinitions(module)) {
      const known = owners.get(`${what} ${name}`)
      if (known !== undefined && known.definition !== definition) {
        throw new TidemarkError(
          'TIDEMARK_NAME_TAKEN',
          `${known.file} and ${file} both define the ${what} "${name}"`,
          { details: { name, files: [known.file, file] } },
        )
      }
      owners.set(`${what} ${name}`, { definition, file })
    }
    modules.push(module)
  }
  return modules
}

async function load(file: string, path: string): Promise<Module> {
  let module: Module
  try {
    module = (await import(pathToFileURL(path).href)) as Module
  } catch (cause) {
    const reason = messageOf(cause)
    throw new TidemarkError('TIDEMARK_INVALID_OPTION', `${file} could not be loaded: ${reason}`, {
      cause,
      details: { file },
    })
  }
  if (namedDefinitions(module).length > 0) return module
  throw new TidemarkError(
    'TIDEMARK_INVALID_OPTION',
    `${file} exports no event, listener, projection, job, queue or schedule`,
    {
      hint: 'Export the definitions by name, or make the pattern match only files that have some.',
      details: { file },
    },
  )
}

import { readdirSync, readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { Application } from 'typedoc'

/** Something that users import, and the source that it is made from. */
interface Entry {
  readonly name: string
  readonly file: string
}

interface PackageJson {
  readonly name: string
  readonly exports?: Readonly<Record<string, string | Readonly<Record<string, string>>>>
}

const packages = new URL('../../packages/', import.meta.url)

/** Options of the plugin, which typedoc's types do not know. */
const markdown: object = {
  entryFileName: 'index',
  hidePageHeader: true,
  hideBreadcrumbs: true,
  useCodeBlocks: true,
  parametersFormat: 'table',
  interfacePropertiesFormat: 'table',
}

/** All entries of all packages that are published. */
function entries(): Entry[] {
  return readdirSync(packages).flatMap((directory) => {
    const folder = new URL(`${directory}/`, packages)
    const { name, exports = {} } = JSON.parse(
      readFileSync(new URL('package.json', folder), 'utf8'),
    ) as PackageJson
    return Object.entries(exports).flatMap(([path, conditions]) => {
      const source = typeof conditions === 'string' ? undefined : conditions['@tidemark/source']
      if (source === undefined) return []
      return [{ name: name + path.slice(1), file: fileURLToPath(new URL(source, folder)) }]
    })
  })
}

/** Writes the reference of everything that the packages export, from their docstrings. */
export async function writeReference(directory: string): Promise<void> {
  const found = entries()
  const app = await Application.bootstrapWithPlugins({
    entryPoints: found.map(({ file }) => file),
    tsconfig: fileURLToPath(new URL('tsconfig.json', import.meta.url)),
    plugin: ['typedoc-plugin-markdown'],
    out: directory,
    readme: 'none',
    name: 'Reference',
    // The repository checks its types with another compiler.
    skipErrorChecking: true,
    excludePrivate: true,
    disableSources: true,
    logLevel: 'Warn',
    ...markdown,
  })
  const project = await app.convert()
  if (project === undefined) throw new Error('the reference could not be made')
  const modules = project.children ?? []
  for (const module of modules) {
    const entry = found.find(({ file }) =>
      file.replace(/(\/index)?\.ts$/, '').endsWith(module.name),
    )
    if (entry !== undefined) module.name = entry.name
  }
  await app.generateOutputs(project)
}

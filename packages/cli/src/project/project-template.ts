import { existsSync } from 'node:fs'
import { readdir, readFile } from 'node:fs/promises'
import { join, relative } from 'node:path'
import { fileURLToPath } from 'node:url'
import type { Choices } from './choices.ts'

/** A file that `tidemark init` writes. */
export interface TemplateFile {
  readonly path: string
  readonly text: string
}

const templates = fileURLToPath(new URL('../../template/', import.meta.url))

/** The folders of the templates that make up what was chosen: a later one goes before an earlier one. */
function foldersOf({ orm, framework, runner }: Choices): readonly string[] {
  return ['.', `orm/${orm}`, `framework/${framework}`, `runner/${runner}`]
}

/** The config and a sample module: a transaction, a listener, a projection, a job, and a test of each. */
export function moduleFiles(choices: Choices): Promise<TemplateFile[]> {
  return filesIn(foldersOf(choices).map((folder) => join(folder, 'module')))
}

/** What a folder needs besides that is no project yet. */
export function projectFiles(choices: Choices): Promise<TemplateFile[]> {
  return filesIn(foldersOf(choices).map((folder) => join(folder, 'project')))
}

/** A whole Nest application. */
export function nestFiles(): Promise<TemplateFile[]> {
  return filesIn(['nest'])
}

async function filesIn(folders: readonly string[]): Promise<TemplateFile[]> {
  const files = new Map<string, string>()
  for (const folder of folders) {
    const root = join(templates, folder)
    if (!existsSync(root)) continue
    const entries = await readdir(root, { recursive: true, withFileTypes: true })
    for (const entry of entries.filter((one) => one.isFile())) {
      const path = join(entry.parentPath, entry.name)
      files.set(relative(root, path), await readFile(path, 'utf8'))
    }
  }
  return [...files]
    .toSorted(([a], [b]) => (a < b ? -1 : 1))
    .map(([path, text]) =>
      // npm leaves a file of that name out of a package.
      ({ path: path === 'gitignore' ? '.gitignore' : path, text }),
    )
}

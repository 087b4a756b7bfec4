import { readdir, readFile } from 'node:fs/promises'
import { join, relative } from 'node:path'
import { fileURLToPath } from 'node:url'

/** A file that `tidemark init` writes. */
export interface TemplateFile {
  readonly path: string
  readonly text: string
}

const templates = fileURLToPath(new URL('../../template/', import.meta.url))

/** The config and a sample module: a transaction, a listener, a projection, a job, and a test of each. */
export function moduleFiles(): Promise<TemplateFile[]> {
  return filesIn('module')
}

/** What a folder needs besides that is no project yet. */
export async function projectFiles(name: string, version: string): Promise<TemplateFile[]> {
  return [packageFile(name, version), ...(await filesIn('project'))]
}

/** What the sample module needs of a project that is there already. */
export const dependencies: readonly string[] = ['tidemark', '@tidemark/cli', 'zod', 'pg']
export const devDependencies: readonly string[] = [
  '@tidemark/testing',
  '@types/node',
  '@types/pg',
  'vitest',
]

async function filesIn(template: string): Promise<TemplateFile[]> {
  const root = join(templates, template)
  const entries = await readdir(root, { recursive: true, withFileTypes: true })
  const paths = entries
    .filter((entry) => entry.isFile())
    .map((entry) => relative(root, join(entry.parentPath, entry.name)))
  const files = paths.toSorted().map(async (path): Promise<TemplateFile> => {
    const text = await readFile(join(root, path), 'utf8')
    // npm leaves a file of that name out of a package.
    return { path: path === 'gitignore' ? '.gitignore' : path, text }
  })
  return Promise.all(files)
}

function packageFile(name: string, version: string): TemplateFile {
  const content = {
    name,
    private: true,
    type: 'module',
    // Older ones do not strip types by themselves.
    engines: { node: '>=22.18' },
    scripts: {
      dev: 'tidemark dev --before "node db/migrate.ts"',
      migrate: 'node db/migrate.ts && tidemark migrate up',
      worker: 'tidemark worker --log pretty',
      test: 'vitest run',
      check: 'tsc',
    },
    dependencies: {
      '@tidemark/cli': `^${version}`,
      pg: '^8.16.0',
      tidemark: `^${version}`,
      zod: '^4.0.0',
    },
    devDependencies: {
      // The Postgres of `tidemark dev`, and of tests.
      '@tidemark/testing': `^${version}`,
      '@types/node': '^24.0.0',
      '@types/pg': '^8.15.0',
      typescript: '>=5.9',
      vitest: '^5.0.0',
    },
  }
  return { path: 'package.json', text: `${JSON.stringify(content, null, 2)}\n` }
}

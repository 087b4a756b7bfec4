import { existsSync } from 'node:fs'
import { mkdir, writeFile } from 'node:fs/promises'
import { basename, dirname, join, resolve } from 'node:path'
import type { Command } from 'commander'
import { CliError } from '../cli-error.ts'
import { running, type Context } from '../command-run.ts'
import { packageVersion } from '../package-version.ts'
import {
  dependencies,
  devDependencies,
  moduleFiles,
  projectFiles,
} from '../project/project-template.ts'

/** `tidemark init` */
export function addInit(parent: Command, context: Context): void {
  parent
    .command('init')
    .description(
      'Write tidemark.config.ts and a sample module: a transaction, a listener, a projection and a job, with a test of each. Where there is no package.json, write a whole project. Overwrites nothing.',
    )
    .argument('[directory]', 'where', '.')
    .action(
      running<object, [string]>(context, async ({ output, io }, directory) => {
        const root = resolve(io.cwd, directory)
        const isProject = existsSync(join(root, 'package.json'))
        const files = [
          ...(isProject ? [] : await projectFiles(packageName(root), packageVersion())),
          ...(await moduleFiles()),
        ]
        const existing = files.filter(({ path }) => existsSync(join(root, path)))
        if (existing.length > 0) {
          throw new CliError(`${existing.map(({ path }) => path).join(', ')} exists already`, {
            hint: 'Nothing was written. Move it away, or name another directory.',
          })
        }
        for (const { path, text } of files) {
          await mkdir(dirname(join(root, path)), { recursive: true })
          // wx: what appeared in the meantime is not overwritten either.
          await writeFile(join(root, path), text, { flag: 'wx' })
        }
        const written = files.map(({ path }) => path)
        output.result({ directory: root, written }, () =>
          written.map((path) => `wrote ${path}`).join('\n'),
        )
        output.note(nextSteps(isProject, directory))
      }),
    )
}

function nextSteps(isProject: boolean, directory: string): string {
  return [
    '',
    'Next:',
    ...(resolve(directory) === resolve('.') ? [] : [`  cd ${directory}`]),
    ...(isProject
      ? [
          `  npm install ${dependencies.join(' ')}`,
          `  npm install --save-dev ${devDependencies.join(' ')}`,
          '  npx vitest run accounts --globalSetup @tidemark/testing/vitest/global-setup',
          '  npx tidemark dev --before "node db/migrate.ts"    # on a Postgres of its own; or on yours:',
        ]
      : [
          '  npm install',
          '  npm test',
          '  npm run dev    # on a Postgres of its own; or on yours:',
        ]),
    '  export DATABASE_URL=postgres://localhost/app',
    '  node db/migrate.ts && npx tidemark migrate up',
    '  npx tidemark worker --log pretty',
    `  npx tidemark publish accounts.account_opened '{"accountId":"a-1","email":"ada@example.com"}'`,
    '  npx tidemark projection show accounts.open_accounts',
  ].join('\n')
}

function packageName(root: string): string {
  const name = basename(root)
    .toLowerCase()
    .replaceAll(/[^\w.-]+/gu, '-')
    .replace(/^[._-]+/u, '')
  return name || 'app'
}

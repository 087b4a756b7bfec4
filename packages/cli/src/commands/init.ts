import { existsSync } from 'node:fs'
import { mkdir, writeFile } from 'node:fs/promises'
import { basename, dirname, join, resolve } from 'node:path'
import { Option, type Command } from 'commander'
import { CliError, usageError } from '../cli-error.ts'
import { running, type Context } from '../command-run.ts'
import { choose, foundIn, offered, type Choices } from '../project/choices.ts'
import { neededFor, packageFile } from '../project/project-packages.ts'
import {
  moduleFiles,
  nestFiles,
  projectFiles,
  type TemplateFile,
} from '../project/project-template.ts'

const defaults = 'default: what package.json has, else'

/** `tidemark init` */
export function addInit(parent: Command, context: Context): void {
  parent
    .command('init')
    .description(
      'Write tidemark.config.ts and a sample module: a transaction, a listener, a projection and a job, with a test of each. Where there is no package.json, write a whole project. Overwrites nothing. At a terminal it asks for what the options do not say.',
    )
    .argument('[directory]', 'where', '.')
    .addOption(
      new Option(
        '--orm <name>',
        `what transactions and handlers write with (${defaults} kysely)`,
      ).choices([...offered.orm]),
    )
    .addOption(
      new Option(
        '--framework <name>',
        `what serves HTTP and the console: server.ts, or a Nest application (${defaults} none)`,
      ).choices([...offered.framework]),
    )
    .addOption(
      new Option('--runner <name>', `what runs the tests (${defaults} vitest)`).choices([
        ...offered.runner,
      ]),
    )
    .action(
      running<Partial<Choices>, [string]>(context, async ({ options, output, io }, directory) => {
        const root = resolve(io.cwd, directory)
        const isProject = existsSync(join(root, 'package.json'))
        const { orm, framework, runner } = options
        if (framework === 'nest' && (orm ?? runner) !== undefined) {
          throw usageError(
            'a Nest application is written in one way, without --orm and --runner',
            'Give it a `db` of your ORM afterwards: docs/nestjs.md says how.',
          )
        }
        const given = Object.fromEntries(
          Object.entries({ orm, framework, runner }).filter(([, name]) => name !== undefined),
        ) as Partial<Choices>
        const ask = options.json === true ? undefined : io.choose
        const choices = await choose(ask, given, foundIn(root))
        const files = await filesOf(choices, isProject, packageName(root))
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
        output.result({ directory: root, ...choices, written }, () =>
          written.map((path) => `wrote ${path}`).join('\n'),
        )
        output.note(nextSteps(choices, isProject, directory))
      }),
    )
}

async function filesOf(
  choices: Choices,
  isProject: boolean,
  name: string,
): Promise<readonly TemplateFile[]> {
  if (choices.framework === 'nest') {
    if (!isProject) return [packageFile(name, choices), ...(await nestFiles())]
    throw new CliError('a Nest application of yours is not written into', {
      hint: 'Install @tidemark/nestjs and import TidemarkModule: docs/nestjs.md shows it. Or name a new directory, or --framework none.',
    })
  }
  const module = await moduleFiles(choices)
  if (isProject) return module
  return [packageFile(name, choices), ...(await projectFiles(choices)), ...module]
}

function nextSteps(choices: Choices, isProject: boolean, directory: string): string {
  const { dependencies, devDependencies } = neededFor(choices)
  const first = ['', 'Next:', ...(resolve(directory) === resolve('.') ? [] : [`  cd ${directory}`])]
  if (choices.framework === 'nest') {
    return [...first, '  npm install', '  npm test', '  npm run build'].join('\n')
  }
  const serve =
    choices.framework === 'none'
      ? []
      : ['  node server.ts    # POST /accounts, and the console below /tidemark/']
  return [
    ...first,
    ...(isProject
      ? [
          `  npm install ${Object.keys(dependencies).join(' ')}`,
          `  npm install --save-dev ${Object.keys(devDependencies).join(' ')}`,
          ...(choices.orm === 'prisma' ? ['  npx prisma generate'] : []),
          choices.runner === 'vitest'
            ? '  npx vitest run accounts --globalSetup @tidemark/testing/vitest/global-setup'
            : '  node --test accounts/*.test.ts',
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
    ...serve,
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

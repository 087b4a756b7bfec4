import { packageVersion } from '../package-version.ts'
import type { Choices } from './choices.ts'
import type { TemplateFile } from './project-template.ts'

/** Packages by name, with the versions that go. */
type Packages = Readonly<Record<string, string>>

/** What a sample needs of npm. */
export interface Needed {
  readonly dependencies: Packages
  readonly devDependencies: Packages
}

const none: Packages = {}

const orms: Readonly<Record<Choices['orm'], Packages>> = {
  kysely: none,
  pg: none,
  drizzle: { 'drizzle-orm': '^0.45.0' },
  prisma: { '@prisma/adapter-pg': '^7.0.0', '@prisma/client': '^7.0.0', prisma: '^7.0.0' },
  typeorm: { typeorm: '^1.1.0' },
  knex: { knex: '^3.3.0' },
  'mikro-orm': { '@mikro-orm/core': '^7.2.0', '@mikro-orm/postgresql': '^7.2.0' },
  sequelize: { sequelize: '^6.37.0' },
}

const frameworks: Readonly<Record<Exclude<Choices['framework'], 'none' | 'nest'>, Packages>> = {
  fastify: { fastify: '^5.0.0' },
  hono: { '@hono/node-server': '^2.0.0', hono: '^4.0.0' },
  express: { express: '^5.0.0' },
}

/** What the sample module needs of npm. */
export function neededFor({ orm, framework, runner }: Choices): Needed {
  const own = `^${packageVersion()}`
  const served =
    framework === 'none' || framework === 'nest'
      ? none
      : { ...frameworks[framework], '@tidemark/console': own, '@tidemark/http': own }
  return {
    dependencies: sorted({
      '@tidemark/cli': own,
      tidemark: own,
      // A peer of tidemark, which not every package manager installs by itself.
      kysely: '^0.29.0',
      pg: '^8.16.0',
      zod: '^4.0.0',
      ...orms[orm],
      ...served,
    }),
    devDependencies: sorted({
      // The Postgres of `tidemark dev`, and of tests.
      '@tidemark/testing': own,
      '@types/node': '^24.0.0',
      '@types/pg': '^8.15.0',
      typescript: '>=5.9',
      ...(framework === 'express' ? { '@types/express': '^5.0.0' } : none),
      ...(runner === 'vitest' ? { vitest: '^5.0.0' } : none),
    }),
  }
}

/** What a Nest application needs of npm: what the page about Nest installs. */
function neededForNest(): Needed {
  const own = `^${packageVersion()}`
  const nest = '^12.0.0'
  return {
    dependencies: sorted({
      '@nestjs/common': nest,
      '@nestjs/core': nest,
      '@nestjs/platform-express': nest,
      '@tidemark/cli': own,
      '@tidemark/nestjs': own,
      kysely: '^0.29.0',
      'reflect-metadata': '^0.2.0',
      rxjs: '^7.8.0',
      tidemark: own,
      zod: '^4.0.0',
    }),
    devDependencies: sorted({
      '@nestjs/testing': nest,
      '@tidemark/testing': own,
      '@types/node': '^24.0.0',
      '@types/pg': '^8.15.0',
      typescript: '>=5.9',
      vitest: '^5.0.0',
    }),
  }
}

/** The package.json of a new project. */
export function packageFile(name: string, choices: Choices): TemplateFile {
  const { framework, orm, runner } = choices
  const generate = orm === 'prisma' ? { postinstall: 'prisma generate' } : {}
  const nest = framework === 'nest'
  const scripts = nest
    ? { build: 'tsc', start: 'node dist/src/main.js', test: 'vitest run' }
    : {
        ...generate,
        dev: 'tidemark dev --before "node db/migrate.ts"',
        ...(framework === 'none' ? {} : { serve: 'node server.ts' }),
        migrate: 'node db/migrate.ts && tidemark migrate up',
        worker: 'tidemark worker --log pretty',
        test: runner === 'vitest' ? 'vitest run' : 'node --test',
        check: 'tsc',
      }
  const content = {
    name,
    private: true,
    type: 'module',
    // Older ones do not strip types by themselves.
    engines: { node: nest ? '>=22.12' : '>=22.18' },
    scripts,
    ...(nest ? neededForNest() : neededFor(choices)),
  }
  return { path: 'package.json', text: `${JSON.stringify(content, null, 2)}\n` }
}

function sorted(packages: Packages): Packages {
  return Object.fromEntries(Object.entries(packages).toSorted(([a], [b]) => (a < b ? -1 : 1)))
}

import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { CliError } from '../cli-error.ts'
import type { CliIo } from '../io.ts'

/** What `tidemark init` can write for, in the order in which it asks. The first of each is what it writes when nobody says otherwise. */
export const offered = {
  framework: ['none', 'fastify', 'hono', 'express', 'nest'],
  orm: ['kysely', 'drizzle', 'prisma', 'typeorm', 'knex', 'mikro-orm', 'sequelize', 'pg'],
  runner: ['vitest', 'node'],
} as const

/** What is chosen between. */
export type Choice = keyof typeof offered

/** What was chosen. */
export type Choices = { readonly [Name in Choice]: (typeof offered)[Name][number] }

const questions: Readonly<Record<Choice, string>> = {
  framework: 'What serves HTTP?',
  orm: 'What do you write SQL with?',
  runner: 'What runs your tests?',
}

/** Packages by which a project shows what it has. A later one goes before an earlier one. */
const signs: Readonly<Record<string, readonly [Choice, string]>> = {
  // Whoever has Tidemark has it as a peer.
  kysely: ['orm', 'kysely'],
  'drizzle-orm': ['orm', 'drizzle'],
  '@prisma/client': ['orm', 'prisma'],
  typeorm: ['orm', 'typeorm'],
  knex: ['orm', 'knex'],
  '@mikro-orm/postgresql': ['orm', 'mikro-orm'],
  sequelize: ['orm', 'sequelize'],
  fastify: ['framework', 'fastify'],
  hono: ['framework', 'hono'],
  express: ['framework', 'express'],
  // It has express or fastify below it.
  '@nestjs/core': ['framework', 'nest'],
  vitest: ['runner', 'vitest'],
}

/** What a project has of what is offered, by its package.json. */
export function foundIn(root: string): Partial<Choices> {
  const file = join(root, 'package.json')
  if (!existsSync(file)) return {}
  const names = new Set(dependenciesOf(readFileSync(file, 'utf8')))
  const found = Object.entries(signs).filter(([name]) => names.has(name))
  return Object.fromEntries(found.map(([, sign]) => sign))
}

/** A package.json that cannot be read has none: npm will say so. */
function dependenciesOf(text: string): string[] {
  try {
    const { dependencies, devDependencies } = JSON.parse(text) as Record<string, object | undefined>
    return Object.keys({ ...dependencies, ...devDependencies })
  } catch {
    return []
  }
}

/**
 * What was given, else what the person at the terminal answers, else what the project has, else the first of each.
 *
 * @throws CliError when the person gives up.
 */
export async function choose(
  ask: CliIo['choose'],
  given: Partial<Choices>,
  found: Partial<Choices>,
): Promise<Choices> {
  const chosen: Partial<Record<Choice, string>> = { ...given }
  for (const name of Object.keys(offered) as Choice[]) {
    if (chosen[name] !== undefined) continue
    // A Nest application is written in one way: whoever has chosen that is asked no more, and whoever has chosen something
    // else is not offered it.
    if (chosen.framework === 'nest') continue
    const options = offered[name].filter(
      (option) => option !== 'nest' || (given.orm ?? given.runner) === undefined,
    )
    const initial = options.find((option) => option === found[name]) ?? options[0]
    const answer =
      ask === undefined || initial === undefined
        ? initial
        : await ask({ question: questions[name], options, initial })
    if (answer === undefined) throw new CliError('nothing was written: you gave up')
    chosen[name] = answer
  }
  const { orm = 'pg', framework = 'none', runner = 'vitest' } = chosen
  return { orm, framework, runner } as Choices
}

import { migrationStatus } from 'tidemark'
import { problemOf } from '../migration-problem.ts'
import { plural } from '../output/output.ts'
import { findings, type Check } from './check.ts'

/** Whether the schema is the one that this version works with. */
export const migrations: Check = {
  name: 'migrations',
  look: async ({ place }) => {
    const { ok, failed } = findings('migrations')
    const status = await migrationStatus(place)
    const problems = status.flatMap((migration) => {
      const problem = problemOf(migration)
      if (problem === undefined) return []
      const { version, name } = migration
      return [failed(`${version} ${name} is ${migration.state}`, `It ${problem}.`, migration)]
    })
    return problems.length > 0
      ? problems
      : [ok(`${plural(status.length, 'migration')} applied, none changed`)]
  },
}

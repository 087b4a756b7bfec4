import { migrationProblem } from '../../../../database/migration-problem.ts'
import { readStatus } from '../../../../database/migrator.ts'
import { findings, plural } from '../../finding.ts'
import { type Check } from '../../patient.ts'

/** Whether the schema is the one that this version works with. */
export const migrations: Check = {
  name: 'migrations',
  look: async ({ app }) => {
    const { ok, failed } = findings('migrations')
    const status = await readStatus(app.database, app.schema)
    const problems = status.flatMap((migration) => {
      const problem = migrationProblem(migration)
      if (problem === undefined) return []
      const { version, name } = migration
      return [
        failed(
          `migration-${migration.state}`,
          `${version} ${name} is ${migration.state}`,
          `It ${problem}.`,
          migration,
        ),
      ]
    })
    return problems.length > 0
      ? problems
      : [ok(`${plural(status.length, 'migration')} applied, none changed`)]
  },
}

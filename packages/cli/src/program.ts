import { Command, Option } from 'commander'
import type { Context } from './command-run.ts'
import { addBench } from './commands/bench.ts'
import { addDeadLetterDiscard } from './commands/dead-letter-discard.ts'
import { addDeadLetterList } from './commands/dead-letter-list.ts'
import { addDeadLetterRetry } from './commands/dead-letter-retry.ts'
import { addDeadLetterShow } from './commands/dead-letter-show.ts'
import { addDev } from './commands/dev.ts'
import { addDoctor } from './commands/doctor.ts'
import { addEventList } from './commands/event-list.ts'
import { addEventShow } from './commands/event-show.ts'
import { addEventTail } from './commands/event-tail.ts'
import { addInit } from './commands/init.ts'
import { addJobCancel } from './commands/job-cancel.ts'
import { addJobList } from './commands/job-list.ts'
import { addJobPause } from './commands/job-pause.ts'
import { addJobResume } from './commands/job-resume.ts'
import { addJobRetry } from './commands/job-retry.ts'
import { addJobShow } from './commands/job-show.ts'
import { addJobSpawn } from './commands/job-spawn.ts'
import { addJobTrace } from './commands/job-trace.ts'
import { addJobTypes } from './commands/job-types.ts'
import { addListenerList } from './commands/listener-list.ts'
import { addListenerPause } from './commands/listener-pause.ts'
import { addListenerReset } from './commands/listener-reset.ts'
import { addListenerResume } from './commands/listener-resume.ts'
import { addListenerShow } from './commands/listener-show.ts'
import { addListenerSkip } from './commands/listener-skip.ts'
import { addMigrateRoles } from './commands/migrate-roles.ts'
import { addMigrateSql } from './commands/migrate-sql.ts'
import { addMigrateStatus } from './commands/migrate-status.ts'
import { addMigrateUp } from './commands/migrate-up.ts'
import { addMigrateVerify } from './commands/migrate-verify.ts'
import { addOutboxPrune } from './commands/outbox-prune.ts'
import { addOutboxStats } from './commands/outbox-stats.ts'
import { addProjectionCancel } from './commands/projection-cancel.ts'
import { addProjectionList } from './commands/projection-list.ts'
import { addProjectionPause } from './commands/projection-pause.ts'
import { addProjectionRebuild } from './commands/projection-rebuild.ts'
import { addProjectionReset } from './commands/projection-reset.ts'
import { addProjectionResume } from './commands/projection-resume.ts'
import { addProjectionShow } from './commands/projection-show.ts'
import { addPublish } from './commands/publish.ts'
import { addScheduleList } from './commands/schedule-list.ts'
import { addSchedulePause } from './commands/schedule-pause.ts'
import { addScheduleResume } from './commands/schedule-resume.ts'
import { addScheduleRun } from './commands/schedule-run.ts'
import { addStreamShow } from './commands/stream-show.ts'
import { addWait } from './commands/wait.ts'
import { addWorker } from './commands/worker.ts'
import { packageVersion } from './package-version.ts'

type AddCommand = (parent: Command, context: Context) => void

/** The whole command line, ready to parse. */
export function buildProgram(context: Context): Command {
  const { io } = context
  const program = new Command('tidemark')
    .description('Migrate, run and look after a Tidemark outbox.')
    .version(packageVersion(), '-V, --version', 'print the version')
    .helpOption('-h, --help', 'print this help')
    .configureOutput({
      writeOut: io.stdout,
      writeErr: io.stderr,
      getOutHelpWidth: () => 100,
      getErrHelpWidth: () => 100,
      getOutHasColors: () => io.colors.stdout,
      getErrHasColors: () => io.colors.stderr,
    })
    .configureHelp({ showGlobalOptions: true })
    .exitOverride()
    .addOption(
      new Option('--database-url <url>', 'the database; before the config, DATABASE_URL and PG*'),
    )
    .addOption(new Option('--schema <name>', "the schema of Tidemark's tables; before the config"))
    .addOption(
      new Option('--config <path>', 'the config, instead of the nearest tidemark.config.ts'),
    )
    .addOption(new Option('--no-config', 'use no config'))
    .addOption(new Option('--json', 'print results as JSON'))
    .addOption(new Option('--verbose', 'print the stack of an error'))

  const group = (name: string, description: string, commands: readonly AddCommand[]): void => {
    const parent = program.command(name).description(description).helpCommand(false)
    for (const add of commands) add(parent, context)
  }
  addInit(program, context)
  group('migrate', "Create Tidemark's tables and bring them up to date.", [
    addMigrateUp,
    addMigrateStatus,
    addMigrateSql,
    addMigrateVerify,
    addMigrateRoles,
  ])
  addDev(program, context)
  addWorker(program, context)
  addPublish(program, context)
  group('event', 'Read the outbox.', [addEventList, addEventShow, addEventTail])
  group('outbox', 'Look at the outbox as a whole, and keep it small.', [
    addOutboxStats,
    addOutboxPrune,
  ])
  group('stream', 'Read one stream.', [addStreamShow])
  group('listener', 'Look at listeners and steer them; a projection is one too.', [
    addListenerList,
    addListenerShow,
    addListenerPause,
    addListenerResume,
    addListenerSkip,
    addListenerReset,
  ])
  group('projection', 'Look at projections and derive them anew.', [
    addProjectionList,
    addProjectionShow,
    addProjectionRebuild,
    addProjectionPause,
    addProjectionResume,
    addProjectionCancel,
    addProjectionReset,
  ])
  group('dead-letter', 'Look at events that listeners have set aside, and decide about them.', [
    addDeadLetterList,
    addDeadLetterShow,
    addDeadLetterRetry,
    addDeadLetterDiscard,
  ])
  group('job', 'Look at jobs, spawn them and steer them.', [
    addJobList,
    addJobShow,
    addJobTypes,
    addJobSpawn,
    addJobRetry,
    addJobCancel,
    addJobPause,
    addJobResume,
    addJobTrace,
  ])
  group('schedule', 'Look at schedules and steer them.', [
    addScheduleList,
    addScheduleRun,
    addSchedulePause,
    addScheduleResume,
  ])
  addWait(program, context)
  addDoctor(program, context)
  addBench(program, context)
  return program.helpCommand(false)
}

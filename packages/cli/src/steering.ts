import { hostname, userInfo } from 'node:os'
import type { Command } from 'commander'
import type { AuditedAction } from 'tidemark'

/** How a command that changes something is recorded. */
interface Steering {
  /** As the HTTP API calls the same. */
  readonly action: string
  /** What its first argument names. */
  readonly about?: string
  /** With which option it changes something. Defaults to always. */
  readonly with?: string
}

/** Every command that changes something, by its path. Of the others {@link looking} has the list. */
export const steering: Readonly<Record<string, Steering>> = {
  publish: { action: 'publish', about: 'event type' },
  'migrate up': { action: 'migrate' },
  'outbox prune': { action: 'prune' },
  'listener pause': { action: 'pauseListener', about: 'listener' },
  'listener resume': { action: 'resumeListener', about: 'listener' },
  'listener skip': { action: 'skipEvent', about: 'listener' },
  'listener reset': { action: 'resetListener', about: 'listener' },
  'projection rebuild': { action: 'rebuildProjection', about: 'projection' },
  'projection pause': { action: 'pauseRebuild', about: 'projection' },
  'projection resume': { action: 'resumeRebuild', about: 'projection' },
  'projection cancel': { action: 'cancelRebuild', about: 'projection' },
  'projection reset': { action: 'resetProjection', about: 'projection' },
  'relay pause': { action: 'pauseListener', about: 'listener' },
  'relay resume': { action: 'resumeListener', about: 'listener' },
  'relay setup': { action: 'setUpRelay', about: 'listener' },
  'dead-letter retry': { action: 'retryDeadLetters', about: 'listener' },
  'dead-letter discard': { action: 'discardDeadLetters', about: 'listener' },
  'job spawn': { action: 'spawn', about: 'job type' },
  'job retry': { action: 'retry' },
  'job cancel': { action: 'cancel' },
  'job pause': { action: 'pause' },
  'job resume': { action: 'resume' },
  'job delete': { action: 'delete' },
  'job reprioritise': { action: 'reprioritise' },
  'job rewrite': { action: 'rewrite' },
  'job signal': { action: 'signal', about: 'job' },
  'queue pause': { action: 'hold', about: 'queue' },
  'queue resume': { action: 'hold', about: 'queue' },
  'schedule run': { action: 'runSchedule', about: 'schedule' },
  'schedule put': { action: 'changeSchedule', about: 'schedule' },
  'schedule remove': { action: 'changeSchedule', about: 'schedule' },
  'schedule pause': { action: 'pauseSchedule', about: 'schedule' },
  'schedule resume': { action: 'pauseSchedule', about: 'schedule' },
  doctor: { action: 'repair', with: 'fix' },
}

/** Every command that changes nothing of a system that others use; what `console` changes is recorded by itself. */
export const looking: readonly string[] = [
  'init',
  'generate',
  'migrate status',
  'migrate sql',
  'migrate verify',
  'migrate roles',
  'dev',
  'worker',
  'event list',
  'event search',
  'event show',
  'event tail',
  'event trace',
  'outbox stats',
  'stream show',
  'listener list',
  'listener show',
  'projection keys',
  'projection list',
  'projection show',
  'projection state',
  'process list',
  'relay list',
  'relay show',
  'relay verify',
  'dead-letter groups',
  'dead-letter list',
  'dead-letter show',
  'job list',
  'job show',
  'job types',
  'job trace',
  'job logs',
  'job counts',
  'queue list',
  'schedule list',
  'schedule show',
  'state serve',
  'audit list',
  'wait',
  'console',
  'bench',
]

/** What says where to work, and how to print; and what has been said by doing it. */
const unrecorded = new Set(['databaseUrl', 'schema', 'config', 'json', 'verbose', 'yes'])
/** Arguments that may hold what not everybody should see. */
const payloads = new Set(['payload', 'input'])

/** What a call of a command is recorded as; undefined: it changes nothing. */
export function steeringOf(command: Command): AuditedAction | undefined {
  const path = pathOf(command)
  const { action, about, with: option } = steering[path] ?? {}
  const options = command.optsWithGlobals<Record<string, unknown>>()
  if (action === undefined) return undefined
  if (option !== undefined && options[option] !== true) return undefined
  const given = command.registeredArguments.flatMap((argument, index) => {
    const value: unknown = command.processedArgs[index]
    return value === undefined || payloads.has(argument.name()) ? [] : [[argument.name(), value]]
  }) as [string, unknown][]
  const [first] = given
  const named = about === undefined ? undefined : first
  return {
    via: 'cli',
    by: whoCalls(),
    action,
    subject:
      named === undefined || about === undefined ? null : { kind: about, name: String(named[1]) },
    asked: {
      command: path,
      ...Object.fromEntries(given.filter((one) => one !== named)),
      ...Object.fromEntries(Object.entries(options).filter(([name]) => !unrecorded.has(name))),
    },
  }
}

/** The words that call a command: `listener pause`. */
function pathOf(command: Command): string {
  const { parent } = command
  if (parent === null) return ''
  return `${pathOf(parent)} ${command.name()}`.trim()
}

function whoCalls(): string {
  return `${userName()}@${hostname()}`
}

function userName(): string {
  try {
    return userInfo().username
  } catch {
    // In a container a user may have a number and no name.
    return String(process.getuid?.() ?? 'somebody')
  }
}

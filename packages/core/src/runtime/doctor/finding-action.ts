import type { FindingSubject } from './finding.ts'

/**
 * What can be done about a finding at once: nothing that it does is lost, and doing it twice is doing it once. Whatever
 * needs a decision (to skip, to discard, to end somebody's transaction) is in the remedy only.
 */
export interface FindingAction {
  /** As the HTTP API and the audit table call it, and its hook `authorize`. */
  readonly action: FindingActionName
  /** The words of a button: `Resume balances`. */
  readonly title: string
  /** What happens then. */
  readonly effect: string
  /** What it is done to; null: to the whole system. */
  readonly name: string | null
  /** How many it is done to, where that can be counted. */
  readonly count: number | null
  /** The same on the command line, without the `tidemark` before it: `listener resume balances`. */
  readonly command: string
}

/** What can be done about findings. */
export type FindingActionName =
  | 'resumeListener'
  | 'resumeRebuild'
  | 'retryDeadLetters'
  | 'resumeQueue'
  | 'resumeType'
  | 'runSchedule'
  | 'repair'

type Offer = (name: string, details: unknown) => FindingAction | undefined

/** The one table of what is offered for which finding. A code that is not here has no action that is safe. */
const offers: Readonly<Record<string, Offer>> = {
  'listener-paused': (name) =>
    offer('resumeListener', name, 'Resume', `listener resume ${quoted(name)}`, {
      effect: 'It goes on where it stopped.',
    }),
  'listener-halted': (name) =>
    offer('resumeListener', name, 'Resume', `listener resume ${quoted(name)}`, {
      effect:
        'It handles the event that it halted on once more, and halts again if that fails again.',
    }),
  'rebuild-paused': (name) =>
    offer('resumeRebuild', name, 'Resume the rebuild of', `projection resume ${quoted(name)}`, {
      effect: 'It goes on where it stopped.',
    }),
  'rebuild-halted': (name) =>
    offer('resumeRebuild', name, 'Resume the rebuild of', `projection resume ${quoted(name)}`, {
      effect:
        'It goes on with what it halted on, and halts again if that fails again. The live one is untouched.',
    }),
  'dead-letters': (name, details) => {
    const { parked, waiting } = details as { parked: number; waiting: number }
    const most = Math.min(parked + waiting, mostDeadLetters)
    return offer(
      'retryDeadLetters',
      name,
      'Retry those of',
      `dead-letter retry ${quoted(name)} --limit ${most}`,
      {
        effect:
          'They are handled once more, in their order. Those that fail again are set aside again.',
        count: most,
      },
    )
  },
  'queue-paused': (name) =>
    offer('resumeQueue', name, 'Resume the queue', `queue resume ${quoted(name)}`, {
      effect: 'What waits in it is run again.',
    }),
  'job-type-paused': (name) =>
    offer('resumeType', name, 'Resume', `queue resume --type ${quoted(name)}`, {
      effect: 'Jobs of this type are run again.',
    }),
  // One made at run time must be changed first.
  'schedule-failing': (name, details) =>
    (details as { source: string }).source === 'code'
      ? offer('runSchedule', name, 'Run', `schedule run ${quoted(name)}`, {
          effect:
            'Its input is made once more, and its job spawned. If that fails again, nothing is spawned.',
          count: 1,
        })
      : undefined,
  'jobs-miscounted': () =>
    offer('repair', null, 'Count again', 'doctor --fix --yes', {
      effect:
        'Jobs are counted again, and what the dead have left behind is removed: what `tidemark doctor --fix` does.',
    }),
}

// As many as one request takes.
const mostDeadLetters = 100_000

/** What can be done at once about a finding. */
export function actionsFor(
  code: string,
  subject: FindingSubject | undefined,
  details: unknown,
): readonly FindingAction[] {
  const made = offers[code]?.(subject?.name ?? '', details)
  return made === undefined ? [] : [made]
}

function offer(
  action: FindingActionName,
  name: string | null,
  verb: string,
  command: string,
  { effect, count = null }: { readonly effect: string; readonly count?: number | null },
): FindingAction {
  const title = name === null ? verb : `${verb} ${name}`
  return { action, title, effect, name, count, command }
}

/** A name as one word of a shell. */
function quoted(name: string): string {
  return /^[\w.:@%+,/-]+$/u.test(name) && !name.startsWith('-')
    ? name
    : `'${name.replaceAll("'", `'\\''`)}'`
}

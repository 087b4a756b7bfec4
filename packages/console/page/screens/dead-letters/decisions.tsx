import type { JSX } from 'preact'
import { send } from '../../data/client.ts'
import type { DeadLetterGroup } from '../../data/types.ts'
import { ActionButton, type Action } from '../../parts/action.tsx'
import { quoted } from '../../parts/copy.tsx'
import { plural } from '../../parts/text.tsx'

/** Which dead letters are meant. */
export interface Selection {
  readonly listener: string
  readonly sequence?: string
  readonly group?: string
}

/** How many of a group wait for a decision. */
export function openIn(states: DeadLetterGroup['states']): number {
  return (states.parked ?? 0) + (states.waiting ?? 0)
}

// What one request may decide about: enough, and an end.
const most = 100_000

/** Retrying dead letters, and giving them up. */
export function DeadLetterActions({
  selection,
  what,
  letters,
}: {
  readonly selection: Selection
  readonly what: string
  readonly letters: number
}): JSX.Element {
  if (letters === 0) return <span class="quiet">decided</span>
  return (
    <>
      <ActionButton
        needs="retryDeadLetters"
        text="Retry"
        action={() => retrying(selection, what, letters)}
      />
      <ActionButton
        needs="discardDeadLetters"
        text="Discard"
        kind="danger"
        action={() => discarding(selection, what, letters)}
      />
    </>
  )
}

function retrying(selection: Selection, what: string, letters: number): Action {
  return {
    title: `Retry ${plural(letters, 'dead letter')}`,
    body: `${plural(letters, 'event')} ${what} handled again, in order. What fails again is set aside again.`,
    ...cliOf('retry', selection),
    run: async () => {
      await send('POST', ['dead-letters', 'retry'], { ...selection, ...limitOf(selection) })
      return `${plural(letters, 'dead letter')}: handled again.`
    },
  }
}

function discarding(selection: Selection, what: string, letters: number): Action {
  return {
    title: `Discard ${plural(letters, 'dead letter')}`,
    body: `${plural(letters, 'event')} ${what} given up: this listener never handles them. They stay as a record, and events that wait behind them go on.`,
    danger: true,
    ...cliOf('discard', selection),
    run: async () => {
      await send('POST', ['dead-letters', 'discard'], { ...selection, ...limitOf(selection) })
      return `${plural(letters, 'dead letter')}: given up.`
    },
  }
}

function limitOf({ sequence }: Selection): object {
  return sequence === undefined ? { limit: most } : {}
}

function cliOf(verb: string, { listener, sequence }: Selection): Pick<Action, 'cli'> {
  if (sequence === undefined) return {}
  const yes = verb === 'discard' ? ' --yes' : ''
  return { cli: `npx tidemark dead-letter ${verb} ${quoted(listener)} ${sequence}${yes}` }
}

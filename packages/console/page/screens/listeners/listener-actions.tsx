import type { JSX } from 'preact'
import { send } from '../../data/client.ts'
import type { Listener } from '../../data/types.ts'
import { ActionButton, type Action } from '../../parts/action.tsx'
import { quoted } from '../../parts/copy.tsx'
import { TextField } from '../../parts/field.tsx'
import { count, plural } from '../../parts/text.tsx'

/** What can be done to a listener as it stands. */
export function ListenerActions({ listener }: { readonly listener: Listener }): JSX.Element {
  const { status, kind, rebuild, mode } = listener
  const stopped = status === 'paused' || status === 'halted'
  return (
    <>
      {stopped ? (
        <ActionButton needs="resumeListener" text="Resume" action={() => resuming(listener)} />
      ) : (
        <ActionButton needs="pauseListener" text="Pause" action={() => pausing(listener)} />
      )}
      {status === 'halted' && (
        <ActionButton
          needs="skipEvent"
          text="Skip event"
          kind="danger"
          action={() => skipping(listener)}
        />
      )}
      {kind === 'projection' && rebuild === null && mode === 'async' && (
        <ActionButton
          needs="rebuildProjection"
          text="Rebuild"
          action={() => rebuilding(listener)}
        />
      )}
      {kind === 'projection' && (
        <ActionButton
          needs="resetProjection"
          text="Reset"
          kind="danger"
          action={() => resettingProjection(listener)}
        />
      )}
      {kind === 'listener' && (
        <ActionButton
          needs="resetListener"
          text="Reset"
          kind="danger"
          action={() => resetting(listener)}
        />
      )}
    </>
  )
}

function pausing({ name, lag }: Listener): Action {
  return {
    title: `Pause ${name}`,
    body: `It stops after the batch under way. Events go on being published and wait for it; ${count(lag)} do now.`,
    cli: `npx tidemark listener pause ${quoted(name)}`,
    run: async () => {
      await send('POST', ['listeners', name, 'pause'])
      return `${name} is paused.`
    },
  }
}

function resuming({ name, status, lag }: Listener): Action {
  const halted = status === 'halted'
  return {
    title: `Resume ${name}`,
    body: halted
      ? 'It tries the event that it halted on again. If the reason is still there, it halts again.'
      : `It goes on with what waits for it: ${count(lag)} sequences at most.`,
    cli: `npx tidemark listener resume ${quoted(name)}`,
    run: async () => {
      await send('POST', ['listeners', name, 'resume'])
      return `${name} goes on.`
    },
  }
}

function skipping({ name, partitions }: Listener): Action {
  const halted = partitions.filter(
    ({ failedSequence, haltedAt }) => failedSequence !== null && haltedAt !== null,
  )
  const events = halted.map(({ failedSequence }) => failedSequence).join(', ')
  // Only this one: it may halt on another until the button is pressed.
  const [one] = halted
  const body =
    halted.length === 1 && one?.failedSequence != null ? { sequence: one.failedSequence } : {}
  return {
    title: `Skip ${plural(halted.length, 'event')}`,
    body: (
      <p>
        {name} goes on without event <strong>{events}</strong>, which becomes a dead letter: it can
        be retried later, then out of its order.
      </p>
    ),
    danger: true,
    cli: `npx tidemark listener skip ${quoted(name)} --yes`,
    run: async () => {
      const { skipped } = await send<{ skipped: readonly unknown[] }>(
        'POST',
        ['listeners', name, 'skip'],
        body,
      )
      return `${plural(skipped.length, 'event')} skipped.`
    },
  }
}

function resetting({ name, cursor }: Listener): Action {
  let to = '0'
  return {
    title: `Reset ${name}`,
    body: (
      <div class="form">
        <p>
          It handles again everything after the sequence that you give: of {count(cursor)} sequences
          up to where it is, all with 0. What its handlers do besides the database happens again,
          too.
        </p>
        <TextField
          label="Go on after sequence"
          value={to}
          onChange={(value) => {
            to = value
          }}
        />
      </div>
    ),
    danger: true,
    cli: `npx tidemark listener reset ${quoted(name)} --yes`,
    run: async () => {
      await send('POST', ['listeners', name, 'reset'], { to })
      return `${name} goes on after ${to}.`
    },
  }
}

function rebuilding({ name, cursor }: Listener): Action {
  return {
    title: `Rebuild ${name}`,
    body: `A new one is derived from the beginning (${count(cursor)} sequences) beside the live one, which it replaces when it has caught up. Readers see no half-built one, and publishers do not pause.`,
    cli: `npx tidemark projection rebuild ${quoted(name)}`,
    run: async () => {
      await send('POST', ['projections', name, 'rebuild'])
      return `The rebuild of ${name} has started.`
    },
  }
}

function resettingProjection({ name, cursor }: Listener): Action {
  return {
    title: `Empty ${name}`,
    body: `What it has derived is deleted, and derived again in place from ${count(cursor)} sequences: until then readers see it grow. A rebuild does the same without being seen.`,
    danger: true,
    cli: `npx tidemark projection reset ${quoted(name)} --yes`,
    run: async () => {
      await send('POST', ['projections', name, 'reset'])
      return `${name} is derived again.`
    },
  }
}

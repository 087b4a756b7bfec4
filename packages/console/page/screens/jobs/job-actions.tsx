import type { JSX } from 'preact'
import { send } from '../../data/client.ts'
import type { Job } from '../../data/types.ts'
import { ActionButton, type Action } from '../../parts/action.tsx'
import { TextField } from '../../parts/field.tsx'
import { go, link } from '../../route.ts'

interface Verb {
  readonly verb: 'pause' | 'resume' | 'retry' | 'cancel'
  readonly text: string
  readonly when: readonly Job['status'][]
  readonly says: string
  readonly danger?: boolean
}

const verbs: readonly Verb[] = [
  {
    verb: 'pause',
    text: 'Pause',
    when: ['scheduled', 'queued', 'running'],
    says: 'It stops at its next checkpoint or step, keeps what it has done, and goes on when it is resumed.',
  },
  { verb: 'resume', text: 'Resume', when: ['paused'], says: 'It goes on where it stopped.' },
  {
    verb: 'retry',
    text: 'Retry',
    when: ['failed', 'cancelled'],
    says: 'It runs again with its input. Steps that have finished are not repeated.',
  },
  {
    verb: 'cancel',
    text: 'Cancel',
    when: ['scheduled', 'queued', 'running', 'paused'],
    says: 'It ends. A running attempt is asked to stop, and what it has not committed is gone.',
    danger: true,
  },
]

/** What can be done to a job as it stands. */
export function JobActions({ job }: { readonly job: Job }): JSX.Element {
  const over = ['completed', 'failed', 'cancelled'].includes(job.status)
  return (
    <>
      {verbs
        .filter(({ when }) => when.includes(job.status))
        .map((verb) => (
          <ActionButton
            key={verb.verb}
            needs={verb.verb}
            text={verb.text}
            kind={verb.danger === true ? 'danger' : ''}
            action={() => steering(job, verb)}
          />
        ))}
      {!over && (
        <ActionButton needs="reprioritise" text="Priority" action={() => reprioritising(job)} />
      )}
      {over && (
        <ActionButton needs="delete" text="Delete" kind="danger" action={() => deleting(job)} />
      )}
    </>
  )
}

function steering(job: Job, { verb, text, says, danger = false }: Verb): Action {
  return {
    title: `${text} this job`,
    body: says,
    danger,
    cli: `npx tidemark job ${verb} ${job.id}`,
    run: async () => {
      const { status } = await send<{ status: string }>('POST', ['jobs', job.id, verb])
      return status === 'running' && verb !== 'retry' ? 'It was asked to.' : `It is ${status} now.`
    },
  }
}

function reprioritising(job: Job): Action {
  let priority = String(job.priority)
  return {
    title: 'Change the priority',
    body: (
      <TextField
        label="Priority"
        type="number"
        value={priority}
        help="Lower runs first; 0 is normal, -10 high, 10 low."
        onChange={(value) => {
          priority = value
        }}
      />
    ),
    run: async () => {
      await send('PATCH', ['jobs', job.id], { priority: Number(priority) })
      return `Its priority is ${priority} now.`
    },
  }
}

function deleting(job: Job): Action {
  return {
    title: 'Delete this job',
    body: 'The job goes with its attempts, steps, logs and output. This cannot be taken back.',
    danger: true,
    cli: `npx tidemark job delete ${job.id}`,
    run: async () => {
      await send('DELETE', ['jobs', job.id])
      go(link(['jobs']))
      return 'It is deleted.'
    },
  }
}

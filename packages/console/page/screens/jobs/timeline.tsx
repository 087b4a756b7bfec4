import type { JSX } from 'preact'
import type { Attempt, Job, Step, TraceNode } from '../../data/types.ts'
import { toneOf, type Tone } from '../../parts/badge.tsx'
import { Empty } from '../../parts/page.tsx'
import { cut } from '../../parts/text.tsx'
import { clock, duration, now } from '../../time.ts'

interface Bar {
  readonly key: string
  readonly name: string
  readonly inner: boolean
  readonly tone: Tone
  readonly from: number
  readonly to: number
  readonly says: string
}

/** Attempts, and within them steps and waits, on one axis of time. */
export function Timeline({
  job,
  attempts,
  steps,
  waits,
}: {
  readonly job: Job
  readonly attempts: readonly Attempt[]
  readonly steps: readonly Step[]
  readonly waits: readonly TraceNode[]
}): JSX.Element {
  const present = job.finishedAt === null ? now.value : Date.parse(job.finishedAt)
  const bars = [
    ...attempts.map((one) => attemptBar(one, present)),
    ...steps.map((one) => stepBar(one, present)),
    ...waits.map((one) => waitBar(one, present)),
  ].toSorted((a, b) => a.from - b.from || Number(a.inner) - Number(b.inner) || b.to - a.to)
  if (bars.length === 0) {
    return (
      <Empty title="It has not begun">
        The first attempt starts when a process of its type has room.
      </Empty>
    )
  }
  const begin = Math.min(...bars.map(({ from }) => from))
  const length = Math.max(1, ...bars.map(({ to }) => to - begin))
  return (
    <ol class="gantt">
      {bars.map(({ key, name, inner, tone, from, to, says }) => (
        <li key={key}>
          <span class={inner ? 'name inner' : 'name'} title={name}>
            <bdi>{cut(name, 120)}</bdi>
          </span>
          <span class="track" title={`${says}\n${clock(new Date(from).toISOString(), 'UTC')}`}>
            <span
              class={`bar ${tone}`}
              style={{ '--from': share(from - begin, length), '--span': share(to - from, length) }}
            />
          </span>
          <span class="took">
            {duration(to - from)}
            <span class="visually-hidden">, {says}</span>
          </span>
        </li>
      ))}
    </ol>
  )
}

function share(part: number, whole: number): string {
  return String(Math.min(1, Math.max(0, part / whole)))
}

function attemptBar(attempt: Attempt, present: number): Bar {
  const from = attempt.startedAt === null ? present : Date.parse(attempt.startedAt)
  const to = attempt.finishedAt === null ? present : Date.parse(attempt.finishedAt)
  const by = attempt.triggeredBy === 'system' ? '' : `, by ${attempt.triggeredBy}`
  return {
    key: `attempt ${attempt.token}`,
    name: `Attempt ${attempt.attempt}`,
    inner: false,
    tone: toneOf(attempt.outcome),
    from,
    to,
    says: `${attempt.outcome}${by}${attempt.error === null ? '' : `: ${cut(attempt.error.message, 200)}`}`,
  }
}

function stepBar(step: Step, present: number): Bar {
  const status = step.status ?? 'completed'
  return {
    key: `step ${step.id}`,
    name: step.id,
    inner: true,
    tone: toneOf(status),
    from: Date.parse(step.startedAt),
    to: step.completedAt === null ? present : Date.parse(step.completedAt),
    says: `step ${status}`,
  }
}

function waitBar(node: TraceNode, present: number): Bar {
  return {
    key: `wait ${node.id}`,
    name: `waits: ${node.kind} ${node.name}`,
    inner: true,
    tone: 'rest',
    from: Date.parse(node.at),
    to: node.endedAt === null ? present : Date.parse(node.endedAt),
    says: `waiting for ${node.kind}, ${node.status}`,
  }
}

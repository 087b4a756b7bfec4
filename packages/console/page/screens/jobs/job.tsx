import type { JSX } from 'preact'
import { apiUrl } from '../../data/client.ts'
import type { Attempt, Job, LogLine, Step, TraceNode } from '../../data/types.ts'
import { useData } from '../../data/use-data.ts'
import { CopyButton } from '../../parts/copy.tsx'
import { ErrorNotice } from '../../parts/error.tsx'
import { Loaded } from '../../parts/loaded.tsx'
import { Card, Facts, PageHead } from '../../parts/page.tsx'
import { Payload } from '../../parts/payload.tsx'
import { count, cut, Name, size } from '../../parts/text.tsx'
import { Time } from '../../parts/time.tsx'
import { link } from '../../route.ts'
import { duration, now } from '../../time.ts'
import type { ScreenProps } from '../index.ts'
import { TraceTree } from '../trace-tree.tsx'
import { JobActions } from './job-actions.tsx'
import { fractionOf, JobBadge, jobDuration } from './job-state.tsx'
import { JobTable } from './job-table.tsx'
import { Timeline } from './timeline.tsx'

const finished = new Set(['completed', 'failed', 'cancelled'])

/** One job: what was asked, what became of it, when and why. */
export function JobScreen({ path }: ScreenProps): JSX.Element {
  const id = path[0] ?? ''
  const job = useData<Job>(apiUrl(['jobs', id]), 1_500)
  return (
    <Loaded data={job}>
      {(found) => (
        <>
          <PageHead
            crumb={{ href: link(['jobs'], { name: found.name }), text: 'Jobs of this type' }}
            title={
              <>
                <Name of={found.name} /> <JobBadge job={found} />
              </>
            }
            lead={
              <>
                <code>{found.id}</code> <CopyButton text={found.id} what="the id" />
              </>
            }
          >
            <JobActions job={found} />
          </PageHead>
          <Standing job={found} />
          <History job={found} />
        </>
      )}
    </Loaded>
  )
}

function Standing({ job }: { readonly job: Job }): JSX.Element {
  const fraction = fractionOf(job.progress)
  const took = jobDuration(job, now.value)
  return (
    <>
      {job.error !== null && job.status !== 'completed' && (
        <ErrorNotice
          error={job.error}
          title={
            job.status === 'failed'
              ? 'It failed'
              : `Its last attempt failed; attempt ${job.attempt} so far`
          }
        />
      )}
      <section class="card">
        <div class="body form">
          {fraction !== undefined && !finished.has(job.status) && (
            <div>
              <div
                class="progress"
                role="progressbar"
                aria-label="Progress"
                aria-valuenow={Math.round(fraction * 100)}
                aria-valuemin={0}
                aria-valuemax={100}
              >
                <span style={{ '--done': String(fraction) }} />
              </div>
              <span class="quiet number">{Math.round(fraction * 100)} %</span>
            </div>
          )}
          <Facts
            of={[
              ['Spawned', <Time at={job.createdAt} />],
              ['Started', <Time at={job.startedAt} />],
              job.finishedAt === null
                ? ['Runs next', <Time at={job.runAt} />]
                : ['Finished', <Time at={job.finishedAt} />],
              ['Took', took === undefined ? '–' : duration(took)],
              ['Attempt', count(job.attempt)],
              [
                'Queue',
                <a href={link(['jobs'], { queue: job.queue })}>
                  <Name of={job.queue} />
                </a>,
              ],
              ['Priority', String(job.priority)],
              ['Spawned by', <Name of={job.triggeredBy} />],
              job.uniqueKey === null
                ? undefined
                : [
                    'Unique key',
                    <a href={link(['jobs'], { uniqueKey: job.uniqueKey })}>
                      <Name of={job.uniqueKey} />
                    </a>,
                  ],
              job.concurrencyKey === null
                ? undefined
                : [
                    'Concurrency key',
                    <a href={link(['jobs'], { concurrencyKey: job.concurrencyKey })}>
                      <Name of={job.concurrencyKey} />
                    </a>,
                  ],
              job.parent === null
                ? undefined
                : [
                    'Parent',
                    <a class="mono" href={link(['jobs', job.parent])}>
                      {job.parent.slice(0, 8)}…
                    </a>,
                  ],
              job.process === null
                ? undefined
                : ['Process', <span class="mono">{job.process.slice(0, 8)}…</span>],
              job.waiting === null
                ? undefined
                : ['Waits for', <span class="mono">{cut(JSON.stringify(job.waiting), 200)}</span>],
            ]}
          />
        </div>
      </section>
    </>
  )
}

function History({ job }: { readonly job: Job }): JSX.Element {
  const rhythm = finished.has(job.status) ? 15_000 : 1_500
  const attempts = useData<{ attempts: readonly Attempt[] }>(
    apiUrl(['jobs', job.id, 'attempts']),
    rhythm,
  )
  const steps = useData<{ steps: readonly Step[] }>(apiUrl(['jobs', job.id, 'steps']), rhythm)
  const logs = useData<{ lines: readonly LogLine[] }>(apiUrl(['jobs', job.id, 'logs']), rhythm)
  const trace = useData<{ nodes: readonly TraceNode[] }>(apiUrl(['jobs', job.id, 'trace']), rhythm)
  const children = useData<{ jobs: readonly Job[] }>(
    apiUrl(['jobs'], { parent: job.id, limit: 50 }),
    rhythm,
  )
  const offspring = children.value?.jobs ?? []
  const lines = logs.value?.lines ?? []
  return (
    <>
      <Card title="Timeline">
        <Loaded data={attempts}>
          {({ attempts: tried }) => (
            <Timeline
              job={job}
              attempts={tried}
              steps={steps.value?.steps ?? []}
              waits={(trace.value?.nodes ?? []).filter((node) => isWaitOf(node, job.id))}
            />
          )}
        </Loaded>
      </Card>
      <div class="columns">
        <Card title="Input">
          <Payload value={job.input} label="input" />
        </Card>
        <Card
          title={job.status === 'completed' ? 'Output' : 'Progress'}
          aside={
            job.encodedOutput === true ? (
              <span class="quiet">encoded</span>
            ) : (
              job.largeOutput !== null && <span class="quiet">{size(job.largeOutput)}</span>
            )
          }
        >
          <Readable because={job.status === 'completed' ? job.unreadable : null}>
            <Payload
              value={job.status === 'completed' ? job.output : job.progress}
              label={job.status === 'completed' ? 'output' : 'progress'}
            />
          </Readable>
        </Card>
      </div>
      {(steps.value?.steps.length ?? 0) > 0 && (
        <Card title="Steps">
          <div class="form">
            {steps.value?.steps.map((step) => (
              <StepOutput key={step.id} step={step} />
            ))}
          </div>
        </Card>
      )}
      <Card title="Logs" aside={<span class="quiet">ctx.log</span>} flush>
        {lines.length === 0 ? (
          <p class="empty">What the job logs with ctx.log stands here.</p>
        ) : (
          <Logs lines={lines} />
        )}
      </Card>
      {offspring.length > 0 && (
        <Card
          title="Spawned by it"
          aside={<a href={link(['jobs'], { parent: job.id })}>All of them</a>}
          flush
        >
          <JobTable label="Jobs that this one spawned" jobs={offspring} />
        </Card>
      )}
      <Card title="What led to it, and what came of it" flush>
        <Loaded data={trace}>{({ nodes }) => <TraceTree nodes={nodes} here={job.id} />}</Loaded>
      </Card>
    </>
  )
}

/** An event is one that it waited for, or one that it published. */
function isWaitOf({ kind, cause, status }: TraceNode, id: string): boolean {
  const waits = ['sleep', 'event', 'cursor', 'child', 'signal']
  return cause === id && waits.includes(kind) && status !== 'published'
}

/** A value, or why it cannot be shown: it is encrypted, say, and the process behind this page has no key. */
function Readable({
  because,
  children,
}: {
  readonly because: string | null | undefined
  readonly children: JSX.Element
}): JSX.Element {
  return because === null || because === undefined ? children : <p class="empty">{because}</p>
}

function StepOutput({ step }: { readonly step: Step }): JSX.Element {
  return (
    <details>
      <summary>
        <Name of={step.id} />{' '}
        <span class="number">
          {step.completedAt === null
            ? ''
            : duration(Date.parse(step.completedAt) - Date.parse(step.startedAt))}
        </span>
      </summary>
      {step.error === null || step.error === undefined ? (
        <Readable because={step.unreadable}>
          <Payload value={step.output} label={`output of ${step.id}`} />
        </Readable>
      ) : (
        <ErrorNotice error={step.error} />
      )}
    </details>
  )
}

function Logs({ lines }: { readonly lines: readonly LogLine[] }): JSX.Element {
  return (
    // It scrolls, so the keyboard must reach it.
    <ol class="log" tabIndex={0} aria-label="Logs">
      {lines.map((line) => (
        <li key={line.number}>
          <span class="quiet">
            <Time at={line.at} />
          </span>
          <span class="quiet">{line.level}</span>
          <span>
            {cut(line.message, 2_000)}{' '}
            {line.fields !== null && (
              <span class="quiet">{cut(JSON.stringify(line.fields), 500)}</span>
            )}
          </span>
        </li>
      ))}
    </ol>
  )
}

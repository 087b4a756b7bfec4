import type { JSX } from 'preact'
import { apiUrl, send } from '../../data/client.ts'
import type { Schedule, Tick } from '../../data/types.ts'
import { useData } from '../../data/use-data.ts'
import { ActionButton } from '../../parts/action.tsx'
import { Badge } from '../../parts/badge.tsx'
import { quoted } from '../../parts/copy.tsx'
import { Loaded } from '../../parts/loaded.tsx'
import { Card, Empty, Facts, PageHead } from '../../parts/page.tsx'
import { Payload } from '../../parts/payload.tsx'
import { Table } from '../../parts/table.tsx'
import { Name } from '../../parts/text.tsx'
import { Time } from '../../parts/time.tsx'
import { link } from '../../route.ts'
import type { ScreenProps } from '../index.ts'

/** All schedules, with their next ticks. */
export function SchedulesScreen(): JSX.Element {
  const data = useData<{ schedules: readonly Schedule[] }>(apiUrl(['schedules']))
  return (
    <>
      <PageHead
        title="Schedules"
        lead="Jobs that are spawned by the clock: once in the whole cluster for each tick."
      />
      <Card title="By name" flush>
        <Loaded data={data}>
          {({ schedules }) =>
            schedules.length === 0 ? (
              <Empty
                title="No schedules yet"
                code={
                  "export const nightly = defineSchedule('nightly', {\n  cron: '0 3 * * *', timeZone: 'Europe/Berlin', job: closeBooks,\n})"
                }
              >
                A schedule in the code of a process that runs appears here, as do those that are
                made at run time.
              </Empty>
            ) : (
              <Table
                label="Schedules"
                rows={schedules}
                id={({ name }) => name}
                columns={[
                  {
                    title: 'Schedule',
                    cell: ({ name, job }) => (
                      <>
                        <a href={link(['schedules', name])}>
                          <Name of={name} />
                        </a>
                        <span class="sub">
                          spawns <Name of={job} />
                        </span>
                      </>
                    ),
                  },
                  {
                    title: 'Cron',
                    cell: ({ cron, timeZone }) => (
                      <>
                        <code>{cron}</code>
                        <span class="sub">{timeZone}</span>
                      </>
                    ),
                  },
                  { title: 'State', tight: true, cell: ({ status }) => <Badge state={status} /> },
                  {
                    title: 'Next tick',
                    align: 'right',
                    show: 'if-roomy',
                    cell: ({ nextAt }) => <Time at={nextAt} />,
                  },
                  {
                    title: 'Actions',
                    tight: true,
                    cell: (schedule) => (
                      <div class="buttons">
                        <ScheduleActions schedule={schedule} />
                      </div>
                    ),
                  },
                ]}
              />
            )
          }
        </Loaded>
      </Card>
    </>
  )
}

/** One schedule, and what became of its ticks. */
export function ScheduleScreen({ path }: ScreenProps): JSX.Element {
  const name = path[0] ?? ''
  const data = useData<Schedule>(apiUrl(['schedules', name]))
  const ticks = useData<{ ticks: readonly Tick[] }>(apiUrl(['schedules', name, 'ticks']), 5_000)
  return (
    <Loaded data={data}>
      {(schedule) => (
        <>
          <PageHead
            crumb={{ href: link(['schedules']), text: 'Schedules' }}
            title={
              <>
                <Name of={schedule.name} /> <Badge state={schedule.status} />
              </>
            }
          >
            <ScheduleActions schedule={schedule} />
          </PageHead>
          <section class="card">
            <div class="body">
              <Facts
                of={[
                  ['Next tick', <Time at={schedule.nextAt} />],
                  ['Cron', <code>{schedule.cron}</code>],
                  ['Time zone', schedule.timeZone],
                  [
                    'Spawns',
                    <a href={link(['queues', schedule.job])}>
                      <Name of={schedule.job} />
                    </a>,
                  ],
                  [
                    'While the last one runs',
                    schedule.overlap === 'skip' ? 'the tick is left out' : 'another one starts',
                  ],
                  [
                    'Missed ticks',
                    schedule.catchUp === 'none'
                      ? 'are left out'
                      : `${schedule.catchUp} of them caught up`,
                  ],
                  [
                    'Defined',
                    schedule.source === 'code'
                      ? `in code, version ${schedule.version}`
                      : 'at run time',
                  ],
                  schedule.lastJob === null
                    ? undefined
                    : [
                        'Last job',
                        <a class="mono" href={link(['jobs', schedule.lastJob])}>
                          {schedule.lastJob.slice(0, 8)}…
                        </a>,
                      ],
                ]}
              />
            </div>
          </section>
          {schedule.input !== null && (
            <Card title="Input of each job">
              <Payload value={schedule.input} label="input" />
            </Card>
          )}
          <Card title="Past ticks" flush>
            <Loaded data={ticks}>{({ ticks: past }) => <Ticks ticks={past} />}</Loaded>
          </Card>
        </>
      )}
    </Loaded>
  )
}

function Ticks({ ticks }: { readonly ticks: readonly Tick[] }): JSX.Element {
  if (ticks.length === 0) return <Empty title="No tick has passed yet" />
  return (
    <Table
      label="Past ticks"
      rows={ticks}
      id={({ tick, outcome }) => `${tick} ${outcome}`}
      columns={[
        { title: 'Tick', cell: ({ tick }) => <Time at={tick} /> },
        {
          title: 'What became of it',
          cell: ({ outcome, error }) => <Badge state={outcome} title={error?.message} />,
        },
        {
          title: 'Job',
          cell: ({ job, error }) =>
            job === null ? (
              <span class="quiet">{error?.message ?? '–'}</span>
            ) : (
              <a class="mono" href={link(['jobs', job])}>
                {job.slice(0, 8)}…
              </a>
            ),
        },
      ]}
    />
  )
}

function ScheduleActions({ schedule }: { readonly schedule: Schedule }): JSX.Element {
  const { name, status } = schedule
  const verb = status === 'active' ? 'pause' : 'resume'
  return (
    <>
      <ActionButton
        needs="runSchedule"
        text="Run now"
        action={() => ({
          title: `Run ${name} now`,
          body: 'Its job is spawned now, beside its ticks.',
          cli: `npx tidemark schedule run ${quoted(name)}`,
          run: async () => {
            const { id } = await send<{ id: string }>('POST', ['schedules', name, 'run'])
            return `Job ${id.slice(0, 8)}… is spawned.`
          },
        })}
      />
      <ActionButton
        needs="pauseSchedule"
        text={verb === 'pause' ? 'Pause' : 'Resume'}
        action={() => ({
          title: `${verb === 'pause' ? 'Pause' : 'Resume'} ${name}`,
          body:
            verb === 'pause'
              ? 'Its ticks pass and are recorded as paused; nothing is spawned.'
              : 'It is spawned again from its next tick on.',
          cli: `npx tidemark schedule ${verb} ${quoted(name)}`,
          run: async () => {
            await send('POST', ['schedules', name, verb])
            return `${name} is ${verb}d.`
          },
        })}
      />
    </>
  )
}

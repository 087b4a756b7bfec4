import type { ComponentType } from 'preact'
import { AuditScreen } from './audit.tsx'
import { DeadLetterScreen } from './dead-letters/dead-letter.tsx'
import { DeadLettersScreen } from './dead-letters/dead-letters.tsx'
import { EventScreen } from './events/event.tsx'
import { EventsScreen } from './events/events.tsx'
import { JobScreen } from './jobs/job.tsx'
import { JobsScreen } from './jobs/jobs.tsx'
import { QueuesScreen } from './jobs/queues.tsx'
import { ScheduleScreen, SchedulesScreen } from './jobs/schedules.tsx'
import { SpawnScreen } from './jobs/spawn.tsx'
import { ListenerScreen } from './listeners/listener.tsx'
import { ListenersScreen } from './listeners/listeners.tsx'
import { NowhereScreen } from './nowhere.tsx'
import { OverviewScreen } from './overview/overview.tsx'
import { ProcessesScreen } from './processes.tsx'

/** What a screen is given: the parts of the path after its own name. */
export interface ScreenProps {
  readonly path: readonly string[]
}

interface Entry {
  readonly name: string
  readonly at: readonly string[]
  readonly Screen: ComponentType<ScreenProps>
  /** What is shown for what is below it. */
  readonly One?: ComponentType<ScreenProps>
}

/** What stands in the navigation, in its order. */
export const sections: readonly { readonly title: string; readonly screens: readonly Entry[] }[] = [
  {
    title: 'System',
    screens: [
      { name: 'Overview', at: [], Screen: OverviewScreen },
      { name: 'Processes', at: ['processes'], Screen: ProcessesScreen },
      { name: 'Audit', at: ['audit'], Screen: AuditScreen },
    ],
  },
  {
    title: 'Events',
    screens: [
      { name: 'Events', at: ['events'], Screen: EventsScreen, One: EventScreen },
      {
        name: 'Listeners & projections',
        at: ['listeners'],
        Screen: ListenersScreen,
        One: ListenerScreen,
      },
      {
        name: 'Dead letters',
        at: ['dead-letters'],
        Screen: DeadLettersScreen,
        One: DeadLetterScreen,
      },
    ],
  },
  {
    title: 'Jobs',
    screens: [
      { name: 'Jobs', at: ['jobs'], Screen: JobsScreen, One: JobScreen },
      { name: 'Queues & types', at: ['queues'], Screen: QueuesScreen, One: SpawnScreen },
      { name: 'Schedules', at: ['schedules'], Screen: SchedulesScreen, One: ScheduleScreen },
    ],
  },
]

/** The screen at a path. */
export function screenOf(path: readonly string[]): {
  readonly name: string
  readonly Screen: ComponentType<ScreenProps>
} {
  const [first = ''] = path
  const entry = sections.flatMap(({ screens }) => screens).find(({ at }) => (at[0] ?? '') === first)
  if (entry === undefined) return { name: '', Screen: NowhereScreen }
  const below = path.length > 1 ? (entry.One ?? NowhereScreen) : entry.Screen
  return { name: entry.name, Screen: below }
}

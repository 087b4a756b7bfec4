import { TidemarkError } from '../../errors/tidemark-error.ts'
import { isEventDefinition } from '../../event/define-event.ts'
import { EventRegistry } from '../../event/registry.ts'
import { isJobDefinition, type JobDefinition } from '../../job/defined/define-job.ts'
import { isQueueDefinition, type QueueDefinition } from '../../job/defined/define-queue.ts'
import { isScheduleDefinition, type ScheduleDefinition } from '../../job/defined/define-schedule.ts'
import { JobRegistry } from '../../job/defined/job-registry.ts'
import { isJobTransition } from '../../job/defined/lifecycle.ts'
import { Listener } from '../../listener/defined/define-listener.ts'
import type { Consumer } from '../../listener/read/consumer.ts'
import { Projection } from '../../projection/folded/projection.ts'
import { requireDistinctTables } from '../../projection/stored/table-owners.ts'
import { Intake } from '../../relay/define-intake.ts'
import { Relay } from '../../relay/define-relay.ts'

/**
 * What an application is made of: a definition, or an object whose values are definitions, such as a module's
 * namespace (`import * as credit from './credit/index.ts'`). Values that are not definitions are passed over.
 */
export type Module = object

/** Everything that the modules of an application define. */
export interface Definitions {
  readonly registry: EventRegistry
  readonly consumers: ReadonlyMap<string, Consumer>
  readonly jobs: JobRegistry
  readonly schedules: readonly ScheduleDefinition[]
}

/**
 * Collects the definitions of modules.
 *
 * @throws TidemarkError TIDEMARK_EVENT_REDEFINED, TIDEMARK_NAME_TAKEN, TIDEMARK_TABLE_OWNED, or TIDEMARK_INVALID_OPTION for a module
 * without any definition.
 */
export function collectDefinitions(modules: readonly Module[]): Definitions {
  const registry = new EventRegistry()
  const consumers = new Map<string, Consumer>()
  const jobs = new JobRegistry()
  const schedules = new Map<string, ScheduleDefinition>()
  for (const [index, module] of modules.entries()) {
    const values: unknown[] = isDefinition(module)
      ? [module]
      : Object.values((module as object | null) ?? {})
    const definitions = values.filter(isDefinition)
    if (definitions.length === 0) {
      throw new TidemarkError(
        'TIDEMARK_INVALID_OPTION',
        `modules[${index}] defines no event, listener, projection or job`,
        {
          hint: 'Pass the namespace of a module: `import * as credit from "./credit/index.ts"`.',
        },
      )
    }
    for (const definition of definitions) {
      if (isEventDefinition(definition)) registry.add(definition)
      else if (isJobDefinition(definition)) jobs.add(definition)
      else if (isQueueDefinition(definition)) jobs.addQueue(definition)
      else if (isScheduleDefinition(definition)) addSchedule(schedules, jobs, definition)
      else addConsumer(consumers, registry, jobs, definition)
    }
  }
  requireDistinctTables([...consumers.values()])
  return { registry, consumers, jobs, schedules: [...schedules.values()] }
}

/** The definitions of a module, with what people call them. */
export function namedDefinitions(
  module: Module,
): { readonly what: string; readonly name: string; readonly definition: unknown }[] {
  return Object.values(module)
    .filter(isDefinition)
    .map((definition) => {
      if (isEventDefinition(definition)) return { what: 'event', name: definition.type, definition }
      const { kind, name } = definition
      const what = kind === 'listener' || kind === 'projection' ? 'listener or projection' : kind
      return { what, name, definition }
    })
}

function addConsumer(
  consumers: Map<string, Consumer>,
  registry: EventRegistry,
  jobs: JobRegistry,
  consumer: Consumer,
): void {
  const known = consumers.get(consumer.name)
  if (known !== undefined && known !== consumer) {
    throw new TidemarkError(
      'TIDEMARK_NAME_TAKEN',
      `two listeners or projections are named "${consumer.name}"`,
      {
        details: { name: consumer.name },
      },
    )
  }
  for (const other of consumers.values()) {
    if (other === consumer) continue
    const shared = namesOf(consumer).find((name) => namesOf(other).includes(name))
    if (shared === undefined) continue
    throw new TidemarkError(
      'TIDEMARK_NAME_TAKEN',
      `"${shared}" is a name of ${consumer.name} and of ${other.name}`,
      { details: { name: shared } },
    )
  }
  requireAppliedEvents(consumer)
  consumers.set(consumer.name, consumer)
  for (const definition of consumer.events) registry.add(definition)
  if (!(consumer instanceof Listener)) return
  for (const job of consumer.spawns) if (isJobDefinition(job)) jobs.add(job)
}

/** An inline projection is applied by who publishes its events in a process, not by the server. */
function requireAppliedEvents({ name, mode, events }: Consumer): void {
  const passed = mode === 'inline' ? events.find(isJobTransition) : undefined
  if (passed === undefined) return
  throw new TidemarkError(
    'TIDEMARK_INVALID_OPTION',
    `${name} is inline and handles ${passed.type}, which would pass it by: the server publishes it`,
    { hint: 'Leave `mode: "inline"` out, and use `waitFor` where its state must be there.' },
  )
}

function addSchedule(
  schedules: Map<string, ScheduleDefinition>,
  jobs: JobRegistry,
  schedule: ScheduleDefinition,
): void {
  const known = schedules.get(schedule.name)
  if (known !== undefined && known !== schedule) {
    throw new TidemarkError('TIDEMARK_NAME_TAKEN', `two schedules are named "${schedule.name}"`, {
      details: { name: schedule.name },
    })
  }
  schedules.set(schedule.name, schedule)
  jobs.add(schedule.job)
}

function isDefinition(
  value: unknown,
): value is Consumer | JobDefinition | QueueDefinition | ScheduleDefinition {
  return (
    isEventDefinition(value) ||
    isJobDefinition(value) ||
    isQueueDefinition(value) ||
    isScheduleDefinition(value) ||
    value instanceof Listener ||
    value instanceof Projection ||
    value instanceof Relay ||
    value instanceof Intake
  )
}

/** The names of a listener or a projection, now and before. */
function namesOf({ name, aliases = [] }: Consumer): readonly string[] {
  return [name, ...aliases]
}

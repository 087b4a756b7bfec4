import type { AppOptions, EventDefinition } from 'tidemark'

/** A listener or projection, as far as the command line looks at its definition. */
interface ConsumerDefinition {
  readonly name: string
  readonly kind: 'listener' | 'projection'
  readonly mode: 'async' | 'inline'
  readonly version: number
  readonly tables: readonly string[]
  readonly events: readonly EventDefinition[]
}

/** What an application defines. */
export interface Definitions {
  readonly events: ReadonlyMap<string, EventDefinition>
  readonly consumers: ReadonlyMap<string, ConsumerDefinition>
}

/** Finds the definitions in an application's modules, as the library does. */
export function definitionsOf(options: AppOptions): Definitions {
  const values = options.modules.flatMap((module): unknown[] => [module, ...Object.values(module)])
  const consumers = values.filter(isConsumer)
  const events = [...values.filter(isEvent), ...consumers.flatMap((consumer) => consumer.events)]
  return {
    events: new Map(events.map((event) => [event.type, event])),
    consumers: new Map(consumers.map((consumer) => [consumer.name, consumer])),
  }
}

function isEvent(value: unknown): value is EventDefinition {
  const candidate = value as Partial<EventDefinition>
  return typeof value === 'function' && typeof candidate.type === 'string' && 'schema' in candidate
}

function isConsumer(value: unknown): value is ConsumerDefinition {
  const candidate = value as Partial<ConsumerDefinition> | null
  return (
    typeof candidate === 'object' &&
    (candidate?.kind === 'listener' || candidate?.kind === 'projection') &&
    typeof candidate.name === 'string' &&
    Array.isArray(candidate.events)
  )
}

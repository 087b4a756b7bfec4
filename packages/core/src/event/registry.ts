import { TidemarkError } from '../errors/tidemark-error.ts'
import type { EventDefinition } from './define-event.ts'

/** The event definitions of an application: one for each type. */
export class EventRegistry {
  readonly #definitions = new Map<string, EventDefinition>()

  /** @throws TidemarkError TIDEMARK_EVENT_REDEFINED when another definition has the same type. */
  add(definition: EventDefinition): void {
    const known = this.#definitions.get(definition.type)
    if (known === definition) return
    if (known !== undefined) {
      throw new TidemarkError(
        'TIDEMARK_EVENT_REDEFINED',
        `two definitions claim the event type "${definition.type}" (versions ${known.version} and ${definition.version})`,
        { details: { type: definition.type } },
      )
    }
    this.#definitions.set(definition.type, definition)
  }

  get(type: string): EventDefinition | undefined {
    return this.#definitions.get(type)
  }

  [Symbol.iterator](): MapIterator<EventDefinition> {
    return this.#definitions.values()
  }
}

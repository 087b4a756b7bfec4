import { TidemarkError } from '../errors/tidemark-error.ts'
import { storedTypesOf, type EventDefinition } from './define-event.ts'

/** The event definitions of an application: one for each type, found by any name that it ever had. */
export class EventRegistry {
  readonly #definitions = new Set<EventDefinition>()
  readonly #byName = new Map<string, EventDefinition>()

  /** @throws TidemarkError TIDEMARK_EVENT_REDEFINED when another definition has the same type or alias. */
  add(definition: EventDefinition): void {
    if (this.#definitions.has(definition)) return
    const names = [definition.type, ...definition.aliases]
    for (const name of names) {
      const known = this.#byName.get(name)
      if (known !== undefined) throw redefined(name, known, definition)
    }
    this.#definitions.add(definition)
    for (const name of names) this.#byName.set(name, definition)
  }

  /** The definition that reads events of a stored type: of its name, or of one that it had before. */
  get(type: string): EventDefinition | undefined {
    return this.#byName.get(type)
  }

  /** Every name that events of a type are stored by; of a type that no definition has, the type itself. */
  storedTypesOf(type: string): readonly string[] {
    const definition = this.get(type)
    return definition === undefined ? [type] : [...storedTypesOf([definition])]
  }

  [Symbol.iterator](): SetIterator<EventDefinition> {
    return this.#definitions.values()
  }
}

function redefined(name: string, known: EventDefinition, other: EventDefinition): TidemarkError {
  const claim = ({ type, version }: EventDefinition): string =>
    type === name ? `version ${version}` : `as an alias of "${type}"`
  const message =
    known.type === other.type
      ? `two definitions claim the event type "${name}" (versions ${known.version} and ${other.version})`
      : `two definitions claim the event type "${name}": ${claim(known)} and ${claim(other)}`
  return new TidemarkError('TIDEMARK_EVENT_REDEFINED', message, { details: { type: name } })
}

import { run, type PreparingExecutor } from '../../database/executor.ts'
import { readRoster } from '../../database/sql/listener/cursors.ts'
import type { AssignablePartition, LiveProcess } from './assignment.ts'

/** Who is alive, and what there is to run. */
export interface Roster {
  readonly processes: readonly LiveProcess[]
  readonly partitions: readonly AssignablePartition[]
}

interface RosterRow {
  readonly digest: string
  readonly resizing: boolean
  /** Null, as what follows, when nothing has changed. */
  readonly processes: readonly { readonly id: string; readonly runs: string }[] | null
  /** Of those whose definitions were not known. */
  readonly definitions: Readonly<Record<string, LiveProcess['definitions']>> | null
  readonly partitions: readonly AssignablePartition[] | null
}

/** Reads what partitions are assigned from, as far as it has changed. */
export class RosterReader {
  readonly #schema: string
  readonly #silence: number
  #digest: string | null = null
  #roster: Roster = { processes: [], partitions: [] }
  #definitions = new Map<string, LiveProcess['definitions']>()

  /** @param silence - a process that has not been heard of for so many milliseconds counts as dead. */
  constructor(schema: string, silence: number) {
    this.#schema = schema
    this.#silence = silence
  }

  /** The roster, the same object as before when nothing has changed; and whether a listener is being resized. */
  async read(executor: PreparingExecutor): Promise<{ roster: Roster; resizing: boolean }> {
    const values = [this.#silence, this.#digest, [...this.#definitions.keys()]]
    const { rows } = await run(executor, readRoster(this.#schema), values)
    const { digest, resizing, processes, definitions, partitions } = rows[0] as unknown as RosterRow
    if (processes !== null && partitions !== null) {
      this.#remember(processes, definitions ?? {})
      this.#digest = digest
      this.#roster = {
        processes: processes.map(({ id, runs }) => ({
          id,
          definitions: this.#definitions.get(runs) ?? [],
        })),
        partitions,
      }
    }
    return { roster: this.#roster, resizing }
  }

  /** Keeps the definitions of those who live. */
  #remember(
    processes: readonly { readonly runs: string }[],
    added: Readonly<Record<string, LiveProcess['definitions']>>,
  ): void {
    const known = new Map([...this.#definitions, ...Object.entries(added)])
    const present = new Set(processes.map(({ runs }) => runs))
    this.#definitions = new Map([...known].filter(([runs]) => present.has(runs)))
  }
}

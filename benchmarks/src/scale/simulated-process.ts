import { randomUUID } from 'node:crypto'
import { run } from '../../../packages/core/src/database/executor.ts'
import {
  beat,
  registerProcess,
  removeProcess,
} from '../../../packages/core/src/database/sql/listener/processes.ts'
import {
  armDoorbell,
  removeDoorbell,
} from '../../../packages/core/src/database/sql/outbox/doorbell.ts'
import {
  assignPartitions,
  type AssignablePartition,
} from '../../../packages/core/src/listener/leased/assignment.ts'
import {
  acquire,
  leaseIdOf,
  placeOf,
  release,
  type HeldLease,
  type Lease,
} from '../../../packages/core/src/listener/leased/lease.ts'
import { RosterReader, type Roster } from '../../../packages/core/src/listener/leased/roster.ts'
import { readHorizon } from '../../../packages/core/src/outbox/ordered/horizon.ts'
import type { SimulatedServer } from './simulated-server.ts'

/** How a runner is by default. */
const usual = {
  leaseDuration: 10_000,
  acquireInterval: 1_000,
  safetyPoll: 1_000,
  lookShare: 5,
}

const schema = 'tidemark'

/** Who is to run what: every process computes the same from the same rows, so that here one does it for all. */
const assigned = new Map<string, ReadonlyMap<string, string>>()

/** A process as the others see it: its signs of life, its looks for partitions and its leases. It handles nothing. */
export class SimulatedProcess {
  readonly id: string = randomUUID()
  readonly #server: SimulatedServer
  readonly #definitions: string
  readonly #reader = new RosterReader(schema, usual.leaseDuration)
  readonly #leases = new Map<string, Lease>()
  #armed = false
  /** How many processes live, as far as it knows. */
  #processes = 1
  alive = true

  constructor(server: SimulatedServer, definitions: string) {
    this.#server = server
    this.#definitions = definitions
  }

  /** The partitions that it believes to run. */
  get places(): readonly string[] {
    return [...this.#leases.values()].map(placeOf)
  }

  get size(): number {
    return this.#leases.size
  }

  async register(): Promise<void> {
    const vitals = JSON.stringify({ beatEvery: 2_500, residentBytes: 100_000_000, troubles: [] })
    await run(this.#server.executor, registerProcess(schema), [
      this.id,
      'simulated',
      1,
      'tidemark',
      this.#definitions,
      vitals,
    ])
  }

  /** A sign of life; answers in how many milliseconds the next is due. */
  async beat(): Promise<number> {
    const { rows } = await run(this.#server.executor, beat(schema), [
      this.id,
      '{"beatEvery": 2500}',
      usual.leaseDuration,
    ])
    const { held } = rows[0] as unknown as { held: readonly HeldLease[] }
    const ids = new Set(held.map(leaseIdOf))
    for (const id of this.#leases.keys()) if (!ids.has(id)) this.#leases.delete(id)
    return spread(usual.leaseDuration / 4)
  }

  /** Takes its share of the partitions and gives back what is another's; answers when it looks again. */
  async balance(): Promise<number> {
    const { executor } = this.#server
    const { roster } = await this.#reader.read(executor)
    this.#processes = roster.processes.length
    const owners = assignmentOf(roster)
    const wanted: AssignablePartition[] = []
    const mine = new Map([...this.#leases.values()].map((lease) => [lease.place, lease]))
    for (const partition of roster.partitions) {
      const place = placeOf(partition)
      const lease = mine.get(place)
      if (owners.get(place) !== this.id) {
        if (lease === undefined) continue
        await release(executor, schema, lease)
        this.#leases.delete(lease.id)
      } else if (lease === undefined) wanted.push(partition)
    }
    if (wanted.length > 0) {
      const taken = await acquire(executor, schema, this.id, usual.leaseDuration, wanted)
      for (const lease of taken) this.#leases.set(lease.id, lease)
    }
    return spread(Math.max(usual.acquireInterval, this.#processes * usual.lookShare))
  }

  /** A look at the outbox, as a process has it that sleeps; answers when it looks again. */
  async follow(): Promise<number> {
    if (this.#leases.size > 0) {
      if (!this.#armed) await run(this.#server.executor, armDoorbell(schema), [this.id, true])
      this.#armed = true
      await readHorizon(this.#server.executor, schema)
    }
    return usual.safetyPoll
  }

  /** Ends as a deploy ends it: with its leases given back. */
  async stop(): Promise<void> {
    this.alive = false
    const { executor } = this.#server
    for (const lease of this.#leases.values()) await release(executor, schema, lease)
    this.#leases.clear()
    await run(executor, removeDoorbell(schema), [this.id])
    await run(executor, removeProcess(schema), [this.id])
  }

  /** Ends as a power cut ends it. */
  die(): void {
    this.alive = false
    this.#leases.clear()
  }
}

function assignmentOf(roster: Roster): ReadonlyMap<string, string> {
  const key = JSON.stringify([
    roster.processes.map(({ id }) => id),
    roster.partitions.map(({ owner }) => owner),
  ])
  let owners = assigned.get(key)
  if (owners === undefined) {
    const computed = assignPartitions(roster.processes, roster.partitions)
    owners = new Map([...computed].map(([partition, owner]) => [placeOf(partition), owner]))
    assigned.clear()
    assigned.set(key, owners)
  }
  return owners
}

/** As loops of a runner wait: somewhat shorter or longer. */
function spread(interval: number): number {
  return interval * (0.8 + 0.4 * Math.random())
}

import { defineListener, type EventOf, type Executor, type ListenerOptions } from 'tidemark'
import { moved, noted, receipt } from './events.ts'
import { settle, story, wander } from './jobs.ts'

/** An event that no handler likes until it is healed. */
class Poisoned extends Error {}

// What an application does not want to see an operator for.
const patient = { retry: { attempts: 10_000, backoff: () => 20 } } as const
// What is given up soon.
const impatient = { retry: { attempts: 2, backoff: () => 10 } } as const

async function effect(tx: Executor, listener: string, event: EventOf<typeof moved>): Promise<void> {
  await tx.query('INSERT INTO effects (listener, sequence, key) VALUES ($1, $2, $3)', [
    listener,
    event.sequence,
    event.key,
  ])
}

async function refuse(tx: Executor, kinds: readonly string[], kind: string): Promise<void> {
  if (!kinds.includes(kind)) return
  const { rows } = await tx.query('SELECT FROM healed', [])
  if (rows.length === 0) throw new Poisoned('it is not healed')
}

/** A listener whose effect is a row, and that refuses events of these kinds until they are healed. */
function keeper(name: string, kinds: readonly string[], options: ListenerOptions) {
  return defineListener(name, options).on(moved, async (event, { tx }) => {
    // Now and then something fails that would not have to, where that is tried again for as long as it takes.
    if (kinds.length === 0 && Math.random() < 0.002) throw new Error('bad luck')
    await effect(tx, name, event)
    await refuse(tx, kinds, event.payload.kind)
  })
}

/** The listeners of a release. */
export function listenersOf(release: number) {
  return {
    effects: keeper('effects', [], patient),
    keyed: keeper('keyed', [], { ...patient, partitions: release % 2 === 0 ? 5 : 3 }),
    parking: keeper('parking', ['poison'], { ...impatient, onFailure: 'park' }),
    parkingKeys: keeper('parking-keys', ['poison'], {
      ...impatient,
      partitions: 2,
      onFailure: 'park-key',
    }),
    skipping: keeper('skipping', ['poison'], { ...impatient, onFailure: 'skip' }),
    halting: keeper('halting', ['stuck'], { ...impatient, onFailure: 'halt' }),
    forwarding: defineListener('forwarding', patient).on(moved, async (event, { tx, publish }) => {
      await effect(tx, 'forwarding', event)
      publish(receipt({ of: event.sequence }))
    }),
    spawning: defineListener('spawning', patient).on(moved, async (event, { tx, spawn }) => {
      await effect(tx, 'spawning', event)
      const { op, job } = event.payload
      if (job === 'settle') await spawn(settle, { op })
      if (job === 'story') await spawn(story, { op })
      if (job === 'wander') await spawn(wander, { op })
    }),
  }
}

/** The names of all listeners that leave an effect for each event of `moved`. */
export const keepers: readonly string[] = Object.values(listenersOf(1)).map(({ name }) => name)

/** The one listener of the other install. */
export const second = defineListener('second', patient).on(noted, async (event, { tx }) => {
  await tx.query('INSERT INTO effects (listener, sequence) VALUES ($1, $2)', [
    'second',
    event.sequence,
  ])
})

import { fork, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'
import type { EventSequence } from 'tidemark'
import { expect, test, vi } from 'vitest'
import { committedEvents, effectsOf, noted } from '../support/effects.ts'
import { useFreshDatabase } from '../support/fresh-database.ts'
import type { TeamOptions } from '../support/programs/team.ts'
import { appOn } from '../support/test-app.ts'

vi.setConfig({ testTimeout: 120_000 })

const database = useFreshDatabase()
const program = fileURLToPath(new URL('../support/programs/team.ts', import.meta.url))
const names = Array.from({ length: 10 }, (_, n) => `listener-${n}`)

async function start(name: string): Promise<ChildProcess> {
  const options: TeamOptions = { url: database.url, name, listeners: names.length }
  const child = fork(program, [JSON.stringify(options)], {
    execArgv: ['--conditions=@tidemark/source'],
    stdio: ['ignore', 'ignore', 'inherit', 'ipc'],
  })
  await once(child, 'message')
  return child
}

test('two workers, ten listeners, one worker killed with -9: all ten move again within 15 s, nothing lost, nothing twice', async () => {
  await using app = appOn(database, [noted])
  const workers: ChildProcess[] = []
  const ended = (child: ChildProcess): Promise<unknown> =>
    child.exitCode === null && child.signalCode === null ? once(child, 'exit') : Promise.resolve()
  try {
    workers.push(await start('first'), await start('second'))
    // Half of them each.
    const shares = async (): Promise<number[]> => {
      const { rows } = await database.query<{ n: number }>(
        `select count(*)::int as n from tidemark.cursors where owner is not null group by owner order by 1`,
      )
      return rows.map(({ n }) => n)
    }
    await expect.poll(shares, { timeout: 30_000 }).toEqual([5, 5])
    let last: EventSequence | undefined
    let publishing = true
    const load = (async () => {
      while (publishing) ({ sequence: last } = await app.publish(noted({ note: 'load' })))
    })()
    await expect
      .poll(async () => (await effectsOf(database, 'listener-0')).length, { timeout: 20_000 })
      .toBeGreaterThan(20)

    const [victim] = workers
    const gone = ended(victim as ChildProcess)
    const killed = Date.now()
    victim?.kill('SIGKILL')
    await gone
    const { sequence } = await app.publish(noted({ note: 'after' }))
    await Promise.all(names.map((name) => app.waitFor(name, sequence, { timeout: '15s' })))
    const took = Date.now() - killed
    publishing = false
    await load
    await Promise.all(
      names.map((name) => app.waitFor(name, last as EventSequence, { timeout: '30s' })),
    )

    const committed = await committedEvents(database)
    for (const name of names) expect(await effectsOf(database, name)).toEqual(committed)
    expect(took).toBeLessThan(15_000)
    console.info(`all ten moved again after ${(took / 1000).toFixed(1)} s`)
  } finally {
    for (const child of workers) {
      const gone = ended(child)
      // The survivor gives its leases back.
      child.kill('SIGTERM')
      await gone
    }
  }
})

import { execFile } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { expect, test } from 'vitest'
import { useFreshDatabase } from '../support/fresh-database.ts'

const database = useFreshDatabase()
const program = fileURLToPath(new URL('programs/observed-app.ts', import.meta.url))
const older = new URL('programs/older-api.mjs', import.meta.url).href

/** What an application tells an SDK, in a process of its own. */
async function observe(preload: readonly string[]): Promise<Record<string, unknown>> {
  const options = ['--conditions=@tidemark/source', ...preload, program, database.url]
  const { stdout } = await promisify(execFile)(process.execPath, options)
  return JSON.parse(stdout) as Record<string, unknown>
}

test.for([
  ['1.10', []],
  ['1.9', ['--import', older]],
] as const)(
  'spans, links and metrics reach an SDK on version %s of the API',
  async ([line, preload]) => {
    const { version, ...told } = await observe(preload)
    expect(String(version)).toMatch(new RegExp(`^${line.replace('.', '\\.')}\\.`, 'u'))
    expect(told).toEqual({
      spans: [
        'job mail',
        'process ledger',
        'publish test.noted',
        'set aside ledger',
        'spawn mail',
        'step deliver',
      ],
      linked: true,
      metrics: [
        'messaging.client.consumed.messages',
        'messaging.client.operation.duration',
        'messaging.client.sent.messages',
        'messaging.process.duration',
        'tidemark.batch.size',
        'tidemark.dead_letters',
        'tidemark.doorbell.state',
        'tidemark.doorbell.wake_ups',
        'tidemark.horizon.age',
        'tidemark.job.claim.latency',
        'tidemark.job.duration',
        'tidemark.jobs',
        'tidemark.listener.lag',
        'tidemark.listener.lag_time',
        'tidemark.schedules.awaiting_process',
      ],
    })
  },
)

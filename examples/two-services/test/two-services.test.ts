import { spawnSync } from 'node:child_process'
import { expect, test } from 'vitest'
import { playStory } from '../src/story.ts'

const missing = spawnSync('nats-server', ['--version']).status !== 0
if (missing) console.log('two services are not tested: nats-server is not installed here')

test.skipIf(missing)(
  'money is conserved across two services that are killed',
  async () => {
    const transfers = Number(process.env['TIDEMARK_TRANSFERS'] ?? 300)
    const { killed, checks } = await playStory({ transfers, kills: 1, say: () => {} })
    expect(checks.filter(({ expected, actual }) => expected !== actual)).toEqual([])
    expect(killed).toEqual({ bank: 1, ledger: 1, broker: 1 })
  },
  360_000,
)

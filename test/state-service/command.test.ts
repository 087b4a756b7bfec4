import { writeFile } from 'node:fs/promises'
import { exitCode } from '@tidemark/cli'
import { expect, test } from 'vitest'
import { TidemarkProcess } from '../cli/tidemark.ts'
import { RawClient } from './raw-client.ts'
import { socketPath } from './served.ts'

test('tidemark state serve runs as its file, the environment and its flags say, until it is stopped', async () => {
  const socket = socketPath()
  const file = `${socket}.yaml`
  await writeFile(file, 'backend: nonsense\nsocket: /nowhere\n')
  const args = ['state', 'serve', '--config', file, '--backend', 'memory']
  await using wrong = new TidemarkProcess(args)
  expect(await wrong.answer()).toMatchObject({ code: exitCode.usage })
  expect(wrong.stderr).toContain('must be one of memory, postgres, redis, s3')
  await writeFile(file, 'backend: redis\nsocket: /nowhere\nclients: 1\n')
  await using served = new TidemarkProcess(args, { env: { TIDEMARK_STATE_SOCKET: socket } })
  await served.printed('stderr', 'the state service runs')
  using raw = await RawClient.connect(socket)
  expect(await raw.ask({ op: 'health' })).toMatchObject({ health: { backend: 'memory' } })
  using second = await RawClient.connect(socket)
  expect(await second.next()).toMatchObject({ success: false })
  served.child.kill('SIGTERM')
  expect((await served.answer()).code).toBe(exitCode.ok)
})

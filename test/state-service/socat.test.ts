import { execFile, spawnSync } from 'node:child_process'
import { promisify } from 'node:util'
import { expect, test } from 'vitest'
import { serve } from './served.ts'

const shell = promisify(execFile)
const installed = spawnSync('socat', ['-V']).status === 0
if (!installed) console.log('No client in a shell is tested: socat is not installed here')

test.skipIf(!installed)('a shell is a client, with socat alone', async () => {
  const { socket } = await serve()
  const script = `
    ask() { printf '%s\\n' "$@" | socat -t 5 - "UNIX-CONNECT:$SOCKET"; }
    ask '{"op":"create","jobId":"import-1","job":{"value":{"rows":0},"status":"running"},"requestId":1}' \\
        '{"op":"update","jobId":"import-1","job":{"value":{"rows":500}},"requestId":2}'
    ask '{"op":"list","filter":{"status":"running"},"requestId":3}'
    ask 'this is no request'
  `
  const { stdout } = await shell('sh', ['-c', script], { env: { ...process.env, SOCKET: socket } })
  const answers = stdout
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line) as unknown)
  expect(answers).toMatchObject([
    { requestId: 1, success: true, job: { version: 1 } },
    { requestId: 2, success: true, job: { version: 2, value: { rows: 500 } } },
    { requestId: 3, success: true, jobs: [{ jobId: 'import-1', status: 'running' }] },
    { requestId: null, success: false, error: { code: 'TIDEMARK_STATE_REQUEST_INVALID' } },
  ])
})

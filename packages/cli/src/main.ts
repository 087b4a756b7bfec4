#!/usr/bin/env node
// First: it refuses a Node that is too old.
// oxlint-disable-next-line import/no-unassigned-import -- it is evaluated, and exports nothing
import 'tidemark/supported-node'
import { exitCode } from './exit-code.ts'
import { processIo } from './io.ts'
import { runCli } from './run-cli.ts'

// `tidemark event list | head` has what it wants: end, and say nothing about it.
for (const stream of [process.stdout, process.stderr]) {
  stream.on('error', (error: NodeJS.ErrnoException) => {
    if (error.code !== 'EPIPE') throw error
    process.exit(exitCode.ok)
  })
}

const answer = await runCli(process.argv.slice(2), processIo())
await new Promise((resolve) => process.stdout.write('', resolve))
// A config may have opened what nobody closes (a pool, a timer); the command is over all the same.
process.exit(answer)

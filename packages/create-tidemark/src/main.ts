#!/usr/bin/env node
import { processIo, runCli } from '@tidemark/cli'

// `npm create tidemark my-app`: what `tidemark init my-app` does, for those who have installed nothing yet.
process.exitCode = await runCli(['init', ...process.argv.slice(2)], processIo())

export { exitCode, type ExitCode } from './exit-code.ts'
export { processIo, type CliIo, type Question } from './io.ts'
export { runCli } from './run-cli.ts'

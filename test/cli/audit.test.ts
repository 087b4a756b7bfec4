import { useTestDatabase } from '@tidemark/testing/vitest'
import { expect, test } from 'vitest'
import { buildProgram } from '../../packages/cli/src/program.ts'
import { looking, steering } from '../../packages/cli/src/steering.ts'
import { appOn } from '../support/test-app.ts'
import { tidemark } from './tidemark.ts'

const database = useTestDatabase()

/** Of a command, what this test reads. */
interface Command {
  readonly commands: readonly Command[]
  name(): string
}

function pathsBelow(command: Command, path: string): string[] {
  if (command.commands.length === 0) return [path]
  return command.commands.flatMap((one) => pathsBelow(one, `${path} ${one.name()}`.trim()))
}

test('of every command it is known whether it changes something', async () => {
  const program = await buildProgram([], {
    io: { colors: { stdout: false, stderr: false } } as never,
    exitCode: 0,
    session: undefined,
    verbose: false,
    json: false,
  })
  const known = [...Object.keys(steering), ...looking]
  expect(new Set(known).size).toBe(known.length)
  expect(pathsBelow(program, '').toSorted()).toEqual(known.toSorted())
})

test('the command line records what it changes and what came of it, without payloads and passwords', async () => {
  const call = (...args: string[]): ReturnType<typeof tidemark> =>
    tidemark([...args, '--no-config', '--database-url', database.url])
  await using app = appOn(database, [])
  await call('publish', 'notes.taken', '{"secret":"hush"}', '--stream', 'n-1')
  await call('job', 'spawn', 'letter', '{"to":"hush"}', '--priority', 'high')
  await call('listener', 'pause', 'nobody')
  await call('listener', 'list')
  await call('doctor')
  await call('doctor', '--fix', '--yes')
  await call('job', 'cancel', '--all')
  await call('job', 'cancel', '--all', '--yes')
  const entries = await app.audit.list()
  const shown = entries.toReversed().map(({ action, subject, outcome, code, asked }) => {
    return { action, subject, outcome, code, asked }
  })
  expect(shown).toEqual([
    {
      action: 'publish',
      subject: { kind: 'event type', name: 'notes.taken' },
      outcome: 'done',
      code: null,
      asked: expect.objectContaining({ command: 'publish', stream: 'n-1' }) as unknown,
    },
    expect.objectContaining({ action: 'spawn', subject: { kind: 'job type', name: 'letter' } }),
    expect.objectContaining({
      action: 'pauseListener',
      outcome: 'refused',
      code: 'TIDEMARK_UNKNOWN_LISTENER',
    }),
    expect.objectContaining({ action: 'repair', outcome: 'done' }),
    expect.objectContaining({ action: 'cancel', outcome: 'refused' }),
    expect.objectContaining({ action: 'cancel', outcome: 'done' }),
  ])
  for (const { via, by, at, endedAt, databaseUser } of entries) {
    expect({ via, by, databaseUser }).toEqual({
      via: 'cli',
      by: expect.stringMatching(/^.+@.+$/u) as string,
      databaseUser: expect.any(String) as string,
    })
    expect(endedAt?.getTime()).toBeGreaterThanOrEqual(at.getTime())
  }
  const text = JSON.stringify(entries, (_, value: unknown) =>
    typeof value === 'bigint' ? String(value) : value,
  )
  expect(text).not.toContain('hush')
  expect(text).not.toContain('postgres://')
  const { stdout } = await call(
    'audit',
    'list',
    '--action',
    'cancel',
    '--outcome',
    'done',
    '--json',
  )
  expect(JSON.parse(stdout)).toHaveLength(1)
})

import { exitCode } from '@tidemark/cli'
import { useTestDatabase } from '@tidemark/testing/vitest'
import fc from 'fast-check'
import { beforeAll, expect, test } from 'vitest'
import { badInputs, nastyText } from '../support/nasty.ts'
import { tidemark } from './tidemark.ts'

const database = useTestDatabase({ leakCheck: false })
const secret = 'not~to~be~seen'

/** A command as its help has it. */
interface Command {
  readonly path: readonly string[]
  readonly positionals: number
  /** Each with whether it takes a value. */
  readonly options: readonly (readonly [name: string, takes: boolean])[]
}

// They go on until somebody ends them, ask, or write files.
const lasting = /^(?:dev|worker|console|bench|init|generate|state serve|event tail|relay)\b/u
const following = /^--(?:follow|watch|help|version|config|database-url|config|json|no-config)\b/u
let commands: Command[]

async function commandsBelow(path: readonly string[]): Promise<Command[]> {
  const { stdout } = await tidemark([...path, '--help'])
  const listed = stdout.split('\nCommands:\n')[1]
  if (listed === undefined) {
    const usage = /^Usage: tidemark (.*)$/mu.exec(stdout)?.[1] ?? ''
    const options = stdout.split('\nOptions:\n')[1]?.split('\n\n')[0] ?? ''
    return [
      {
        path,
        positionals: [...usage.matchAll(/[<[](?!options)[^\]>]+[\]>]/gu)].length,
        options: [...options.matchAll(/^ {2}(?:-\w, )?(--[\w-]+)( [<[])?/gmu)]
          .map(([, name = '', value]) => [name, value !== undefined] as const)
          .filter(([name]) => !following.test(name)),
      },
    ]
  }
  const names = [...listed.matchAll(/^ {2}(\S+)/gmu)].map(([, name]) => name ?? '')
  const all: Command[] = []
  for (const name of names) {
    const below = [...path, name]
    if (name !== 'help' && !lasting.test(below.join(' '))) all.push(...(await commandsBelow(below)))
  }
  return all
}

beforeAll(async () => {
  commands = await commandsBelow([])
  await database.query(
    `create role fuzz_${database.name.slice(-8)} login superuser password '${secret}'`,
  )
}, 60_000)

/** Its words in any combination, with values that nobody means. */
function callOf({ path, positionals, options }: Command): fc.Arbitrary<string[]> {
  const given = fc.subarray([...options], { maxLength: Math.min(4, options.length) })
  return fc
    .record({
      words: fc.array(nastyText, { minLength: 0, maxLength: positionals + 1 }),
      given: given.chain((chosen) =>
        fc.tuple(
          ...chosen.map(([name, takes]) =>
            takes ? nastyText.map((text) => [name, text]) : fc.constant([name]),
          ),
        ),
      ),
    })
    .map(({ words, given: chosen }) => [...path, ...words, ...chosen.flat()])
}

test('whatever a command is given, it ends with a code that is documented, says what is wrong and shows no password', async () => {
  expect(commands.length).toBeGreaterThan(40)
  const url = new URL(database.url)
  url.username = `fuzz_${database.name.slice(-8)}`
  url.password = secret
  const codes = new Map<number | null, number>()
  try {
    await fc.assert(
      fc.asyncProperty(
        fc.constantFrom(...commands).chain((command) => callOf(command)),
        async (words) => {
          const argv = [...words, '--no-config', '--database-url', url.href]
          const long = words[0] === 'wait' ? ['--timeout', '50ms'] : []
          const { code, stdout, stderr } = await tidemark([...argv, ...long])
          codes.set(code, (codes.get(code) ?? 0) + 1)
          const said = `${JSON.stringify(words)} → ${code}: ${stderr}`
          expect(Object.values(exitCode), said).toContain(code)
          expect(stdout + stderr, said).not.toContain(secret)
          expect(stderr, said).not.toMatch(/\n\s+at \S+ \(?(?:file:|node:|\/)/u)
          // What JavaScript or the server say of what Tidemark should have looked at.
          expect(stderr, said).not.toMatch(
            /is not a function|Cannot read prop|is not iterable|invalid input syntax|syntax error at|out of range for type|invalid byte sequence/u,
          )
          const quiet = code === exitCode.ok || code === exitCode.checkFailed
          expect(quiet || stderr.trim() !== '', said).toBe(true)
        },
      ),
      { numRuns: badInputs(150) },
    )
  } finally {
    await database.query(`drop role fuzz_${database.name.slice(-8)}`)
  }
  expect(codes.get(exitCode.usage) ?? 0).toBeGreaterThan(0)
}, 240_000)

test.each([
  ['after --, where nothing is an option', ['job', 'signal', '--', 'a', 'b', 'c', 'd']],
  ['after --, as JSON', ['--json', 'job', 'signal', '--', 'a', 'b', 'c', 'd']],
  ['where a command is expected', []],
])('a connection string that is repeated %s has no password', async (_, words) => {
  for (const given of [
    `postgres://fuzz:${secret}@localhost/x`,
    `postgres://fuzz:a@/${secret}@localhost/x`,
    `postgres://localhost/x?password=${secret}&user=fuzz`,
  ]) {
    const { code, stdout, stderr } = await tidemark([...words, '--database-url', given, given])
    expect(code).toBe(exitCode.usage)
    expect(stdout + stderr).not.toContain(secret)
  }
})

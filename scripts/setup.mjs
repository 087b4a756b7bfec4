/**
 * Installs the pinned packages when they are missing or out of date, so that `npm start` and
 * `npm test` work on a fresh clone. Says nothing when there is nothing to do.
 *
 * It runs on the Node that is on the machine (20 or newer) and before anything is installed: no
 * dependencies, no TypeScript. What follows it in an npm script runs on the Node that the repository
 * pins: npm puts node_modules/.bin first on the PATH.
 */
import { spawnSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import {
  existsSync,
  linkSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs'
import { dirname, join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { isDeepStrictEqual } from 'node:util'

const root = join(dirname(fileURLToPath(import.meta.url)), '..')
const stamp = join(root, 'node_modules', '.tidemark-setup')
// Outside node_modules, which `npm ci` removes.
const lockFolder = join(root, '.setup')
const lock = join(lockFolder, 'lock')
const windows = process.platform === 'win32'
const pinnedNode = join(root, 'node_modules', '.bin', windows ? 'node.cmd' : 'node')

/** A reason not to go on, with its remedy; shown without a stack trace. */
class SetupError extends Error {}

async function setUp() {
  const wanted = fingerprint()
  if (isStamped(wanted)) return
  await takeLock()
  try {
    // Whoever held the lock may have done it.
    if (isStamped(wanted)) return
    const reason = whyInstall()
    if (reason !== undefined) install(reason)
    checkNode()
    writeFileSync(stamp, wanted)
  } finally {
    rmSync(lock, { force: true })
  }
}

/** Changes with everything that decides what is to be installed. */
function fingerprint() {
  const hash = createHash('sha256').update(`${process.platform}-${process.arch}`)
  for (const file of ['package-lock.json', ...manifestFiles()]) {
    hash.update(`\n${file}\n`).update(readFileSync(join(root, file)))
  }
  return hash.digest('hex')
}

function isStamped(wanted) {
  return readIfThere(stamp) === wanted && existsSync(pinnedNode)
}

/** The package.json of the repository and of each workspace, relative to the root. */
function manifestFiles() {
  const { workspaces } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'))
  const folders = workspaces.flatMap((pattern) => {
    if (!pattern.endsWith('/*')) return [pattern]
    const parent = pattern.slice(0, -2)
    if (!existsSync(join(root, parent))) return []
    return readdirSync(join(root, parent)).map((name) => `${parent}/${name}`)
  })
  const files = folders.map((folder) => `${folder}/package.json`)
  return ['package.json', ...files.filter((file) => existsSync(join(root, file))).toSorted()]
}

/**
 * Why `npm ci` has to run, or undefined if what is installed is what the lock file says: after an
 * `npm install` by hand, or a change of scripts in a package.json, only the stamp is old.
 */
function whyInstall() {
  const installed = readIfThere(join(root, 'node_modules', '.package-lock.json'))
  if (installed === undefined || !existsSync(pinnedNode)) return 'no packages are installed yet'
  const wanted = JSON.parse(readFileSync(join(root, 'package-lock.json'), 'utf8')).packages
  const present = JSON.parse(installed).packages
  for (const [path, entry] of Object.entries(wanted)) {
    if (!path.startsWith('node_modules/')) continue
    const found = present[path]
    // Optional packages are those of other platforms.
    if (found === undefined && entry.optional === true) continue
    const same = found?.version === entry.version && found?.link === entry.link
    if (!same)
      return `${path.slice('node_modules/'.length)} is not installed as package-lock.json has it`
  }
  for (const file of manifestFiles()) {
    const locked = wanted[file === 'package.json' ? '' : dirname(file)] ?? {}
    const manifest = JSON.parse(readFileSync(join(root, file), 'utf8'))
    for (const kind of ['dependencies', 'devDependencies', 'optionalDependencies']) {
      if (!isDeepStrictEqual(manifest[kind] ?? {}, locked[kind] ?? {})) return `${file} has changed`
    }
  }
  return undefined
}

/** Runs `npm ci`; shows what it says only if it fails. */
function install(reason) {
  console.error(`Set-up: ${reason}, so "npm ci" installs the pinned packages.`)
  const begin = Date.now()
  // NODE_ENV=production and the like would leave out what the tests and examples need.
  const args = ['ci', '--include=dev', '--include=optional', '--no-audit', '--no-fund']
  const options = { cwd: root, encoding: 'utf8', maxBuffer: 256 * 1024 * 1024 }
  // The npm that runs this script, if there is one: another may be first on the PATH.
  const npm = process.env.npm_execpath
  const result = /npm(-cli)?\.c?js$/.test(npm ?? '')
    ? spawnSync(process.execPath, [npm, ...args], options)
    : spawnSync('npm', args, { ...options, shell: windows })
  if (result.status !== 0) {
    throw new SetupError(
      [
        result.stdout,
        result.stderr,
        result.error?.message,
        'Set-up: "npm ci" failed, as shown above.',
        'If package.json and package-lock.json do not agree, run "npm install".',
        'If a download failed, check the network and the registry ("npm config get registry").',
      ]
        .filter(Boolean)
        .join('\n'),
    )
  }
  console.error(`Set-up: done in ${((Date.now() - begin) / 1000).toFixed(0)} s.`)
}

function checkNode() {
  const { stdout, error } = spawnSync(pinnedNode, ['--version'], {
    encoding: 'utf8',
    shell: windows,
  })
  const major = Number(/^v(\d+)/.exec(stdout ?? '')?.[1])
  if (major >= 24) return
  throw new SetupError(
    [
      `Set-up: ${pinnedNode} should be Node 24 or newer, but ${error?.message ?? `says ${stdout}`}.`,
      'The package "node" brings it with an install script: allow it ("ignore-scripts" must not be set), then run "npm ci".',
    ].join('\n'),
  )
}

/** Waits for another set-up of this checkout; one that was killed does not count. */
async function takeLock() {
  mkdirSync(lockFolder, { recursive: true })
  const mine = join(lockFolder, `lock.${process.pid}`)
  writeFileSync(mine, String(process.pid))
  try {
    let told = false
    while (!link(mine, lock)) {
      const holder = readIfThere(lock)
      if (holder === undefined) continue
      if (!isAlive(Number(holder))) {
        breakLock(holder)
        continue
      }
      if (!told) console.error(`Set-up: waiting for the one that process ${holder} is doing.`)
      told = true
      await delay(200)
    }
  } finally {
    rmSync(mine, { force: true })
  }
}

/** Takes away a dead process's lock; gives back one that came in its place meanwhile. */
function breakLock(holder) {
  const aside = join(lockFolder, `stale.${process.pid}`)
  try {
    renameSync(lock, aside)
  } catch {
    return // somebody else was faster
  }
  if (readIfThere(aside) !== holder) link(aside, lock)
  rmSync(aside, { force: true })
}

/** Gives `existing` a second name unless that is taken; a file appears with its content at once. */
function link(existing, name) {
  try {
    linkSync(existing, name)
    return true
  } catch (error) {
    if (error.code === 'EEXIST') return false
    throw error
  }
}

function isAlive(pid) {
  try {
    process.kill(pid, 0)
    return true
  } catch (error) {
    return error.code === 'EPERM'
  }
}

function readIfThere(file) {
  try {
    return readFileSync(file, 'utf8')
  } catch (error) {
    if (error.code === 'ENOENT' || error.code === 'ENOTDIR') return undefined
    throw error
  }
}

try {
  await setUp()
} catch (error) {
  console.error(error instanceof SetupError ? error.message : error)
  process.exitCode = 1
}

#!/usr/bin/env node
/**
 * Runs the models of this directory with spin: each as designed, where nothing may be found, and each of
 * its broken variants, where something must be.
 *
 *     node test/model/run.mjs                      the usual set: about a minute on two free cores
 *     node test/model/run.mjs horizon              only what begins with "horizon"
 *     node test/model/run.mjs --deep               larger searches too (up to 4 GB each, several minutes)
 *     node test/model/run.mjs --explain lease/NO_FENCE    the shortest way to what is found, step by step
 *
 * Needs spin (Debian: apt install spin) and a C compiler; says so and exits with 0 where there is none.
 * Exits with 1 when a result is not the expected one, 2 on a usage error.
 */
import { execFileSync, spawn } from 'node:child_process'
import { cpSync, mkdtempSync, rmSync } from 'node:fs'
import { availableParallelism, tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'

const directory = dirname(fileURLToPath(import.meta.url))

/**
 * @typedef {import('./run.d.mts').Case} Case
 * @typedef {import('./run.d.mts').Result} Result
 */

/** The smallest sizes at which a broken variant shows: what is broken shows sooner than what is not. */
const smallest = { horizon: ['PUBLISHERS=2', 'WINDOW=2'], doorbell: [], lease: [] }

/** @returns {Case} nothing may be found in this one */
function holds(model, variant = '', set = 'usual') {
  return { name: nameOf(model, variant), model, defines: split(variant), expected: 'nothing', set }
}

/** @returns {Case} broken on purpose, or a claim on purpose false: a failure must be found in this one */
function breaks(model, variant) {
  const defines = [...smallest[model], ...split(variant)]
  return { name: nameOf(model, variant), model, defines, expected: 'failure', set: 'test' }
}

function nameOf(model, variant) {
  return [model, ...split(variant)].join('/')
}

function split(variant) {
  return variant.split(' ').filter(Boolean)
}

/** Every case. `set` says where it runs: in the tests and everywhere, in the usual run, or with --deep. */
export const cases = Object.freeze([
  holds('horizon', 'WINDOW=2', 'test'),
  holds('horizon'),
  holds('horizon', 'PUBLISHERS=2 WINDOW=5'),
  holds('horizon', 'REMEMBER'),
  holds('horizon', 'WINDOW=4', 'deep'),
  holds('horizon', 'REMEMBER WINDOW=4', 'deep'),
  breaks('horizon', 'NAIVE'),
  breaks('horizon', 'H_AFTER_F'),
  breaks('horizon', 'ONE_SNAPSHOT'),
  breaks('horizon', 'LATE_LOCK'),
  breaks('horizon', 'EARLY_RELEASE'),
  breaks('horizon', 'STICKY_SETTING'),
  breaks('horizon', 'JOIN_PID'),
  breaks('horizon', 'CACHED_NUMBERS WINDOW=4'),
  breaks('horizon', 'REACH'),
  holds('horizon', 'CRASH PUBLISHERS=2 WINDOW=2', 'test'),
  holds('horizon', 'CRASH PUBLISHERS=2 WINDOW=3'),
  holds('horizon', 'CRASH PUBLISHERS=3 WINDOW=2', 'deep'),
  holds('horizon', 'CRASH KEEP_POSITION PUBLISHERS=2 WINDOW=2'),
  holds('horizon', 'CRASH CURSOR_TAKES_H PUBLISHERS=2 WINDOW=2'),
  breaks('horizon', 'CRASH KEEP_POSITION CURSOR_TAKES_H'),
  holds('horizon', 'CRASH ASYNC_COMMIT PUBLISHERS=2 WINDOW=2'),
  holds('horizon', 'CRASH ASYNC_COMMIT PUBLISHERS=2 WINDOW=3', 'deep'),
  breaks('horizon', 'CRASH ASYNC_COMMIT KEEP_POSITION'),

  holds('doorbell', '', 'test'),
  holds('doorbell', 'WINDOW=3'),
  holds('doorbell', 'PUBLISHERS=3 WINDOW=1'),
  holds('doorbell', 'PUBLISHERS=3', 'deep'),
  holds('doorbell', 'PROCESSES=2 WINDOW=1'),
  holds('doorbell', 'PROCESSES=2', 'deep'),
  breaks('doorbell', 'READ_BEFORE_LOOK'),
  breaks('doorbell', 'ARM_LAST'),
  breaks('doorbell', 'IGNORE_STILL'),
  breaks('doorbell', 'SEPARATE_LOOK'),
  breaks('doorbell', 'CHECK_BEFORE_LOCK'),
  breaks('doorbell', 'STALE_SNAPSHOT'),
  breaks('doorbell', 'NO_LATCH'),
  breaks('doorbell', 'REACH'),
  holds('doorbell', 'RECONNECT', 'test'),
  holds('doorbell', 'RECONNECT PUBLISHERS=3 WINDOW=1', 'deep'),
  breaks('doorbell', 'RECONNECT POLL_BEFORE_LISTEN'),
  holds('doorbell', 'RESTART', 'test'),
  holds('doorbell', 'RESTART PROCESSES=2 WINDOW=1', 'deep'),
  breaks('doorbell', 'RESTART KEEP_BELIEF'),

  holds('lease', '', 'test'),
  holds('lease', 'OWNERS=3 EVENTS=2 NO_OPERATOR'),
  holds('lease', 'NO_EPOCH_CHECK NO_OPERATOR', 'test'),
  breaks('lease', 'NO_EPOCH_CHECK'),
  breaks('lease', 'NO_CURSOR_CHECK'),
  breaks('lease', 'NO_FENCE NO_OPERATOR'),
  breaks('lease', 'FENCE_WITHOUT_LOCK NO_OPERATOR'),
  breaks('lease', 'TWO_TRANSACTIONS'),
  breaks('lease', 'OPERATOR_KEEPS_EPOCH'),
  breaks('lease', 'LOAD_BEFORE_ACQUIRE'),
  breaks('lease', 'KEEP_FOLD'),
  breaks('lease', 'RETRY_AGAIN'),
  breaks('lease', 'REACH'),
])

const runs = (command, args) => {
  try {
    execFileSync(command, args, { stdio: 'ignore' })
    return true
  } catch {
    return false
  }
}

const compiler = ['cc', 'gcc', 'clang'].find((name) => runs(name, ['--version']))

/** Why the models cannot be run here, or undefined when they can. */
export const missing = runs('spin', ['-V'])
  ? compiler
    ? undefined
    : 'no C compiler (cc, gcc or clang) is installed'
  : 'spin is not installed (https://spinroot.com; Debian: apt install spin)'

/** Runs a command in a directory and answers with its output; rejects unless it exits with 0. */
function execute(command, args, cwd, signal) {
  return new Promise((resolve, reject) => {
    let output = ''
    const child = spawn(command, args, { cwd, signal, stdio: ['ignore', 'pipe', 'pipe'] })
    child.stdout.on('data', (chunk) => (output += chunk))
    child.stderr.on('data', (chunk) => (output += chunk))
    child.on('error', reject)
    child.on('close', (code) =>
      code === 0
        ? resolve(output)
        : reject(new Error(`${command} ${args.join(' ')} ended with ${code}:\n${output}`)),
    )
  })
}

/** Lets no more than `limit` callers in at a time. */
function gate(limit) {
  const waiting = []
  let inside = 0
  return async (work) => {
    if (inside === limit) await new Promise((resolve) => waiting.push(resolve))
    else inside++
    try {
      return await work()
    } finally {
      const next = waiting.shift()
      if (next) next()
      else inside--
    }
  }
}

const oneOfTwo = gate(Math.min(2, availableParallelism()))

/**
 * Searches every state of one case: depth first, or breadth first where a failure is expected, because
 * what is found then is the shortest one. No more than two searches run at a time.
 *
 * @param {Case} subject
 * @param {{ signal?: AbortSignal, explain?: boolean }} [options]
 * @returns {Promise<Result>}
 */
export function search(subject, { signal, explain = false } = {}) {
  return oneOfTwo(async () => {
    signal?.throwIfAborted()
    const place = mkdtempSync(join(tmpdir(), 'tidemark-model-'))
    try {
      const began = performance.now()
      const file = `${subject.model}.pml`
      const breadthFirst = subject.expected === 'failure'
      const defines = [...subject.defines, ...(breadthFirst ? ['BREADTH_FIRST'] : [])].map(
        (define) => `-D${define}`,
      )
      cpSync(join(directory, file), join(place, file))
      await execute('spin', ['-a', ...defines, file], place, signal)
      const flags = breadthFirst
        ? ['-O0', '-DBFS']
        : [subject.set === 'test' ? '-O1' : '-O2', '-DNOREDUCE']
      await execute(
        compiler,
        [...flags, '-w', '-DSAFETY', '-DNOFAIR', '-DMEMLIM=4096', '-o', 'pan', 'pan.c'],
        place,
        signal,
      )
      const output = await execute(
        './pan',
        breadthFirst ? ['-w20'] : ['-w22', `-m${depths[subject.set]}`],
        place,
        signal,
      )
      const seconds = (performance.now() - began) / 1000
      const found = judge(output, subject)
      return {
        found,
        expected: found === subject.expected,
        states: Number(/(\d+) states, stored/.exec(output)?.[1] ?? Number.NaN),
        seconds,
        output,
        explanation:
          explain && found.endsWith('failure')
            ? await explanation(file, defines, place, signal)
            : '',
      }
    } finally {
      rmSync(place, { recursive: true, force: true })
    }
  })
}

/** The steps that lead to a failure, as the model's printf statements tell them. */
async function explanation(file, defines, place, signal) {
  const steps = await execute('spin', ['-t', '-T', '-B', ...defines, file], place, signal)
  return steps.replace(/spin: warning.*\n/g, '').trim()
}

/** How deep a search may go: memory is taken for all of it at once. */
const depths = { test: 300_000, usual: 1_500_000, deep: 6_000_000 }

/** How the property that each model is about reads in the verifier's report. */
const claims = { horizon: /~\(?seen/, doorbell: /asleep/, lease: /effects/ }

/**
 * What a verifier's report says: only a search that went everywhere may say that there is nothing, and a
 * control must break the model's property, not one of its other assertions.
 */
function judge(output, { model, defines }) {
  const assertion = /assertion violated (.*)/.exec(output)?.[1]
  if (assertion)
    return claims[model].test(assertion) !== defines.includes('REACH') ? 'failure' : 'other failure'
  const complete =
    /errors: 0/.test(output) && !/not completed|search depth too small|out of memory/i.test(output)
  return complete ? 'nothing' : 'incomplete'
}

async function main(args) {
  const options = new Set(args.filter((arg) => arg.startsWith('--')))
  const names = args.filter((arg) => !arg.startsWith('--'))
  const unknown = [...options].find((option) => !['--deep', '--explain', '--help'].includes(option))
  const chosen = cases.filter(({ name, set }) =>
    names.length === 0
      ? set !== 'deep' || options.has('--deep')
      : options.has('--explain')
        ? names.includes(name)
        : (set !== 'deep' || options.has('--deep')) &&
          names.some((prefix) => name.startsWith(prefix)),
  )
  const usage = 'usage: node test/model/run.mjs [--deep] [--explain] [model or case ...]'
  if (options.has('--help')) return console.log(usage)
  if (unknown || chosen.length === 0 || (options.has('--explain') && names.length === 0)) {
    console.error(
      `${unknown ? `unknown option ${unknown}` : 'no such case'}\n${usage}\ncases:\n${cases.map(({ name }) => `  ${name}`).join('\n')}`,
    )
    process.exitCode = 2
    return
  }
  if (missing) return console.log(`The models were not checked: ${missing}.`)

  const stop = new AbortController()
  for (const signal of ['SIGINT', 'SIGTERM'])
    process.once(signal, () => stop.abort(new Error(`stopped by ${signal}`)))
  const width = Math.max(...chosen.map(({ name }) => name.length))
  const row = (...cells) =>
    console.log(
      `${cells[0].padEnd(width)}  ${cells[1].padEnd(8)}  ${cells[2].padEnd(13)}  ${cells[3].padStart(11)}  ${cells[4].padStart(7)}`,
    )
  row('model/variant', 'expected', 'found', 'states', 'seconds')
  const began = performance.now()
  let wrong = 0
  const finished = await Promise.allSettled(
    chosen.map(async (subject) => {
      const result = await search(subject, {
        signal: stop.signal,
        explain: options.has('--explain'),
      })
      row(
        subject.name,
        subject.expected,
        result.found,
        result.states.toLocaleString('en-US'),
        result.seconds.toFixed(1),
      )
      if (result.explanation) console.log(`\n${result.explanation}`)
      if (!result.expected) {
        wrong++
        console.log(`\n${result.output.replace(/^Depth=.*\n/gm, '')}`)
      }
    }),
  )
  const failed = finished.find(({ status }) => status === 'rejected')
  if (failed) throw stop.signal.reason ?? failed.reason
  console.log(
    `${chosen.length} searches, ${wrong} not as expected, ${((performance.now() - began) / 1000).toFixed(0)} s`,
  )
  if (wrong > 0) process.exitCode = 1
}

if (process.argv[1] && fileURLToPath(import.meta.url) === process.argv[1]) {
  main(process.argv.slice(2)).catch((error) => {
    console.error(error.message)
    process.exitCode = 1
  })
}

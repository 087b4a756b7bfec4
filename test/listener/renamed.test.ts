import { defineListener, defineProjection, type Listener } from 'tidemark'
import { expect, test } from 'vitest'
import { effectsOf, noted, recordEffect, recorder } from '../support/effects.ts'
import { useFreshDatabase } from '../support/fresh-database.ts'
import { LogBook } from '../support/log-book.ts'
import { appOn } from '../support/test-app.ts'

const database = useFreshDatabase()

/** All that was logged. */
function textOf({ entries }: LogBook): string {
  return entries.map(({ message }) => message).join('\n')
}

/** A listener whose effects are all written down under one name, whatever it is called. */
function sender(name: string, aliases: readonly string[] = []): Listener {
  return defineListener(name, { aliases, retry: { attempts: 1 }, onFailure: 'park' }).on(
    noted,
    async (event, { tx }) => {
      if (event.payload.note === 'bad') throw new Error('bad')
      await recordEffect(tx, 'sender', event)
    },
  )
}

test('a renamed listener goes on where it was, with its dead letters', async () => {
  {
    await using app = appOn(database, [sender('old')])
    await app.start()
    await app.publish(noted({ note: 'bad' }))
    const { sequence } = await app.publish(noted({ note: 'one' }))
    await app.waitFor('old', sequence)
  }
  await using app = appOn(database, [sender('new', ['older', 'old'])])
  await app.start()
  const { sequence } = await app.publish(noted({ note: 'two' }))
  await app.waitFor('new', sequence)
  // Who still says its old name means it.
  await app.waitFor('old', sequence)
  expect(await effectsOf(database, 'sender')).toHaveLength(2)
  const { rows } = await database.query('SELECT listener FROM tidemark.dead_letters')
  expect(rows).toEqual([{ listener: 'new' }])
  const listeners = await database.query('SELECT name FROM tidemark.listeners')
  expect(listeners.rows).toEqual([{ name: 'new' }])
})

test('a process that still has the old name neither goes on nor begins anew', async () => {
  await using old = appOn(database, [sender('old')])
  await old.start()
  const one = await old.publish(noted({ note: 'one' }))
  await old.waitFor('old', one.sequence)
  await using present = appOn(database, [sender('new', ['old'])])
  await present.start()
  const two = await present.publish(noted({ note: 'two' }))
  await present.waitFor('new', two.sequence)
  // One that starts again with the version before.
  const logger = new LogBook()
  await using again = appOn(database, [sender('old')], { logger })
  await again.start()
  const three = await again.publish(noted({ note: 'three' }))
  await present.waitFor('new', three.sequence)
  expect(await effectsOf(database, 'sender')).toHaveLength(3)
  expect(textOf(logger)).toContain('old is new now')
})

test('a name that is given back is taken when no process runs the other any more', async () => {
  const quick = { leaseDuration: 2_000, acquireInterval: 50, handleSignals: false }
  {
    await using first = appOn(database, [sender('one')])
    await first.start(quick)
    await first.waitFor('one', (await first.publish(noted({ note: 'a' }))).sequence)
  }
  await using second = appOn(database, [sender('two', ['one'])])
  const running = await second.start(quick)
  await second.waitFor('two', (await second.publish(noted({ note: 'b' }))).sequence)
  // The third version is called as the first was, and is deployed beside the second.
  const logger = new LogBook()
  await using third = appOn(database, [sender('one', ['two'])], { logger })
  await third.start(quick)
  await second.waitFor('two', (await second.publish(noted({ note: 'c' }))).sequence)
  expect(textOf(logger)).toContain('one waits until no process runs two any more')
  await running.stop()
  const { sequence } = await third.publish(noted({ note: 'd' }))
  await expect
    .poll(async () => (await third.listeners.list()).map(({ name }) => name), { timeout: 20_000 })
    .toEqual(['one'])
  await third.waitFor('one', sequence, { timeout: 20_000 })
  // One that starts again with the version before takes nothing away.
  await using again = appOn(database, [sender('two', ['one'])])
  await again.start(quick)
  await third.waitFor('one', (await third.publish(noted({ note: 'e' }))).sequence)
  expect(await effectsOf(database, 'sender')).toHaveLength(5)
})

test('a renamed projection keeps its states, and one that is keyed its keys', async () => {
  const total = (name: string, aliases: readonly string[] = []) =>
    defineProjection(name, { version: 1, aliases, initial: () => 0 }).on(noted, (n) => n + 1)
  const keyed = (name: string, aliases: readonly string[] = []) =>
    defineProjection(name, { version: 1, keyed: true, aliases, initial: () => 0 }).on(
      noted,
      (n) => n + 1,
      { key: (event) => event.payload.note },
    )
  {
    await using app = appOn(database, [total('total'), keyed('keyed')])
    await app.start()
    const { sequence } = await app.publish(noted({ note: 'a' }))
    await app.waitFor(['total', 'keyed'], sequence)
  }
  // Events that are gone cannot be folded again: it must be the states themselves.
  await database.query('DELETE FROM tidemark.events')
  const renamed = [total('sum', ['total']), keyed('by_note', ['keyed'])] as const
  await using app = appOn(database, [...renamed])
  await app.start()
  const { sequence } = await app.publish(noted({ note: 'a' }))
  await app.waitFor(['sum', 'by_note'], sequence)
  expect(await app.read(renamed[0])).toBe(2)
  expect(await app.read(renamed[1], 'a')).toBe(2)
})

test('names that were used twice are refused', () => {
  expect(() => defineListener('a', { aliases: ['a'] })).toThrow(/its own name/u)
  expect(() => defineListener('a', { aliases: ['b', 'b'] })).toThrow(/twice/u)
  expect(() => appOn(database, [sender('a', ['b']), sender('b')])).toThrow(
    expect.objectContaining({ code: 'TIDEMARK_NAME_TAKEN' }),
  )
  expect(() => appOn(database, [sender('a', ['c']), sender('b', ['c'])])).toThrow(
    expect.objectContaining({ code: 'TIDEMARK_NAME_TAKEN' }),
  )
})

test('a new listener that will handle old events says so before it does', async () => {
  {
    await using app = appOn(database, [recorder('before')])
    await app.start()
    const { sequence } = await app.publish(noted({ note: 'old' }))
    await app.waitFor('before', sequence)
  }
  const logger = new LogBook()
  await using app = appOn(database, [recorder('after'), recorder('fresh', { startFrom: 'now' })], {
    logger,
  })
  await app.start()
  expect(textOf(logger)).toContain('after is new and begins with the first event of the outbox')
  expect(textOf(logger)).toContain('before?')
  expect(textOf(logger)).not.toContain('fresh is new')
})

test('a new listener that is stated to handle old events says nothing, unless it looks like a renamed one', async () => {
  const logger = new LogBook()
  const stated = (name: string) => recorder(name, { startFrom: 'beginning' })
  {
    await using app = appOn(database, [stated('first')], { logger })
    const { sequence } = await app.publish(noted({ note: 'old' }))
    await app.start()
    await app.waitFor('first', sequence)
  }
  expect(textOf(logger)).not.toContain('is new')
  await using app = appOn(database, [stated('second')], { logger })
  await app.start()
  expect(textOf(logger)).toContain('second is new')
  expect(textOf(logger)).toContain('first?')
})

import assert from 'node:assert/strict'
import { unique, refusedWith, type Checks } from './check.ts'

const writers = 8

export const outageChecks: Checks<'killed' | 'down' | 'half-open'> = {
  async killed(subject) {
    const { kill, startAgain } = subject
    assert.ok(kill !== undefined && startAgain !== undefined, 'the subject has no server to kill')
    await using store = subject.open({ timeout: 60_000 })
    const keys = Array.from({ length: writers }, () => unique('killed'))
    for (const key of keys) await store.create(key, { value: 0 }, { token: 1n })
    const confirmed = new Map(keys.map((key) => [key, 0]))
    let back = false
    let seen = 0
    const underWay = Promise.withResolvers<void>()
    const writing = keys.map(async (key) => {
      // One more once it is back, so that each writer has met the outage.
      for (let more = 3; more > 0; more -= back ? 1 : 0) {
        const value = (confirmed.get(key) ?? 0) + 1
        const state = await store.update(key, { value }, { token: 1n, ifVersion: value })
        assert.equal(state.version, value + 1)
        confirmed.set(key, value)
        seen += 1
        if (seen === 5 * writers) underWay.resolve()
      }
    })
    const written = Promise.all(writing)
    await Promise.race([underWay.promise, written])
    await kill()
    await startAgain()
    back = true
    await written
    for (const key of keys) {
      const state = await store.get(key)
      assert.deepEqual(
        [state?.value, state?.version],
        [confirmed.get(key), (confirmed.get(key) ?? 0) + 1],
      )
    }
  },

  async down(subject) {
    const { kill, startAgain } = subject
    assert.ok(kill !== undefined && startAgain !== undefined, 'the subject has no server to kill')
    await using store = subject.open({ timeout: 500 })
    const key = unique('down')
    await store.put(key, { value: 1 })
    await kill()
    try {
      await refusedWith('TIDEMARK_STORE_UNAVAILABLE', store.get(key))
      await refusedWith('TIDEMARK_STORE_UNAVAILABLE', store.put(key, { value: 2 }))
      const health = await store.health()
      assert.deepEqual([health.ok, typeof health.error], [false, 'string'])
    } finally {
      await startAgain()
    }
    await using again = subject.open({ timeout: 60_000 })
    assert.ok((await again.health()).ok)
    assert.ok((await again.get(key)) !== undefined)
  },

  async 'half-open'(subject) {
    const { freeze, thaw } = subject
    assert.ok(
      freeze !== undefined && thaw !== undefined,
      'the subject has no connections to freeze',
    )
    const store = subject.open({ timeout: 500 })
    const key = unique('silent')
    await store.put(key, { value: 1 }, { token: 1n })
    freeze()
    try {
      await refusedWith('TIDEMARK_STORE_UNAVAILABLE', store.get(key))
      // One with a connection of its own is not concerned.
      await using other = subject.open({ timeout: 60_000 })
      assert.equal((await other.put(key, { value: 2 }, { token: 2n })).version, 2)
    } finally {
      thaw()
    }
    await store[Symbol.asyncDispose]()
    await using again = subject.open({ timeout: 60_000 })
    assert.deepEqual((await again.get(key))?.value, 2)
  },
}

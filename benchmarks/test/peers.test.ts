import { expect, it } from 'vitest'
import { accountsOf } from '../src/peers/accounts.ts'
import { peers } from '../src/peers/peers.ts'
import { notApplicable } from '../src/report.ts'

const published = new Map(['1 1', '1 2', '1 3', '2 1', '2 2'].map((name) => [name, 0]))
const told = (key: number, n: number) => ({ key, n })

it('events that had no effect, several, or one too late are told apart', () => {
  const effects = [told(1, 1), told(1, 3), told(2, 1), told(1, 2), told(2, 1)]
  expect(accountsOf(published, effects)).toEqual({
    published: 5,
    missed: 1,
    twice: 1,
    disordered: 1,
    held: 0,
  })
})

it('an event that is handled again after later ones is doubled and out of order', () => {
  const effects = [told(1, 1), told(1, 2), told(1, 3), told(2, 1), told(2, 2), told(1, 1)]
  expect(accountsOf(published, effects)).toMatchObject({ missed: 0, twice: 1, disordered: 1 })
})

it('a question that does not apply to a peer has no figure, and says why', () => {
  const accounts = { published: 9, missed: 0, twice: 0, disordered: 7, held: 0 }
  const trial = (peer: string, effects: number | null) => ({
    peer,
    concurrent: accounts,
    killed: { ...accounts, kills: 4 },
    frozen: { ...accounts, longest: 100 },
    behind: 100,
    latency: { p50: 1, p99: 2 },
    publishing: 1,
    effects,
    handling: 1,
  })
  const described = { version: null, settings: 'its own' }
  const { tables } = peers.present({
    publishers: 8,
    seconds: 1,
    events: 10,
    peers: [
      { name: 'log', ordered: true, ...described },
      { name: 'queue', ordered: false, ...described },
    ],
    rounds: [[trial('log', null), trial('queue', 7)]],
  })
  expect(tables[0]?.rows).toEqual([
    ['log', '9', '0', '0', '7'],
    ['queue', '9', '0', '0', notApplicable],
  ])
  expect(tables[4]?.rows).toEqual([
    ['log', '1', notApplicable, '1'],
    ['queue', '1', '7', '1'],
  ])
  expect(tables[0]?.notes?.join(' ')).toContain('"out of order" does not apply')
})

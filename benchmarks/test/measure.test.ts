import { describe, expect, it } from 'vitest'
import { interleave, ratioOf, selectCases, type Case } from '../src/measure.ts'
import { parseRequest } from '../src/options.ts'
import { atLeast, atMost } from '../src/targets.ts'

/** Cases that answer the given rates, and a list of the names in the order in which they were asked. */
function scripted(rates: Readonly<Record<string, readonly number[]>>, against?: string) {
  const order: string[] = []
  const cases = Object.entries(rates).map(([name, values]): Case => {
    let next = 0
    const measure = async (): Promise<number> => {
      order.push(name)
      return values[next++] as number
    }
    return { name, measure, ...(name === against || against === undefined ? {} : { against }) }
  })
  return { order, cases }
}

describe('measuring in turns', () => {
  it('takes a round of all cases before the next one, and every other round backwards', async () => {
    const { order, cases } = scripted({ a: [1, 2, 3], b: [4, 5, 6] })
    await interleave(cases, 3, () => {})
    expect(order).toEqual(['a', 'b', 'b', 'a', 'a', 'b'])
  })

  it('compares within a round, so that a slow round changes no ratio', async () => {
    const { cases } = scripted({ limit: [100, 10, 40], own: [50, 5, 30] }, 'limit')
    const measured = await interleave(cases, 3, () => {})
    expect(ratioOf(measured, 'own', 'limit')).toEqual({ median: 0.5, min: 0.5, max: 0.75 })
    expect(measured[1]?.ratio).toEqual({ against: 'limit', median: 0.5, min: 0.5, max: 0.75 })
    expect(ratioOf(measured, 'own', 'nobody')).toBeUndefined()
  })

  it('of a few cases measures what they are compared with too', () => {
    const { cases } = scripted({ limit: [], own: [], other: [] }, 'limit')
    expect(selectCases(cases, 'own').map(({ name }) => name)).toEqual(['limit', 'own'])
  })
})

describe('a target', () => {
  it.each([
    [{ median: 2, min: 1.5, max: 3 }, 'yes', 'no'],
    [{ median: 1.5, min: 1.2, max: 1.6 }, 'in the median only', 'in the median only'],
    [{ median: 1, min: 0.5, max: 1.5 }, 'no', 'yes'],
  ] as const)('of 1.5 with %o', (spread, least, most) => {
    expect(atLeast('bulk', 1.5, spread).met).toBe(least)
    expect(atMost('growth-tail', 1.5, spread).met).toBe(most)
  })
})

describe('the command line', () => {
  const known = ['publish', 'tail']

  it('names benchmarks and options', () => {
    expect(
      parseRequest(['publish', '--commit-delay', '0,2ms', '--runs', '3', '--write'], known),
    ).toEqual({
      kind: 'measure',
      names: ['publish'],
      options: { runs: 3, commitDelays: [0, 2] },
      json: false,
      write: true,
      out: undefined,
    })
    expect(parseRequest(['all'], known)).toMatchObject({ names: known })
    expect(parseRequest(['plot'], known)).toEqual({ kind: 'plot', names: known })
    expect(parseRequest(['tables', 'tail'], known)).toEqual({
      kind: 'tables',
      names: ['tail'],
      write: false,
    })
  })

  it.each([
    [['publsh'], 'there is no benchmark "publsh"'],
    [['publish', '--runs', 'many'], '--runs must be a number above zero, not "many"'],
    [['tail', '--listeners', '1,,3'], '--listeners must be numbers from 1 on'],
    [['publish', '--secnds', '1'], '--secnds'],
  ])('refuses %j', (args, message) => {
    expect(() => parseRequest(args, known)).toThrow(message)
  })
})

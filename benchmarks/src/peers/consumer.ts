import { allPeers } from './all-peers.ts'
import { takeEffect, type Handle } from './peer.ts'

/** What was handled by a consumer, for one that has no effects: how many, and when by its clock. */
export interface Handled {
  readonly count: number
  readonly first: number
  readonly last: number
}

// The process that consumes, and that may be killed: `consumer.ts <peer> <url> <name> effects|nothing`.
const [peerName, url = '', name = '', work] = process.argv.slice(2)
const peer = allPeers.find((one) => one.name === peerName)
if (peer === undefined) throw new Error(`there is no peer "${peerName}"`)
process.once('disconnect', () => process.exit())

let handled: Handled = { count: 0, first: 0, last: 0 }
const count: Handle = async () => {
  const now = performance.now()
  handled = {
    count: handled.count + 1,
    first: handled.count === 0 ? now : handled.first,
    last: now,
  }
}

const consumer = await peer.consume(url, { name, handle: work === 'effects' ? takeEffect : count })

function stop(): void {
  // Whoever asked has what it wants: what does not end in time is ended.
  setTimeout(() => process.exit(), 2_000).unref()
  consumer[Symbol.asyncDispose]().then(
    () => process.exit(),
    () => process.exit(1),
  )
}

process.on('message', (message) => {
  if (message === 'stop') stop()
  else process.send?.(handled)
})
process.send?.('consuming')

import { allPeers } from './all-peers.ts'

// The process that consumes, and that may be killed: `consumer.ts <peer> <url>`.
const [name, url = ''] = process.argv.slice(2)
const peer = allPeers.find((one) => one.name === name)
if (peer === undefined) throw new Error(`there is no peer "${name}"`)
process.once('disconnect', () => process.exit())
const consumer = await peer.consume(url)
process.once('message', () => {
  // Whoever asked has what it wants: what does not end in time is ended.
  setTimeout(() => process.exit(), 2_000).unref()
  consumer[Symbol.asyncDispose]().then(
    () => process.exit(),
    () => process.exit(1),
  )
})
process.send?.('consuming')

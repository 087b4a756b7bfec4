import { dbos } from './dbos-peer.ts'
import { emmett } from './emmett-peer.ts'
import { graphilePeers } from './graphile-peer.ts'
import { handWrittenPeers } from './hand-written.ts'
import type { Peer } from './peer.ts'
import { pgBoss } from './pg-boss-peer.ts'
import { tidemarkJobs, tidemarkListener } from './tidemark-peer.ts'
import { transactionalOutboxPeers } from './transactional-outbox-peer.ts'

/** Who is compared: those that keep the order of events, then those that run jobs. */
export const allPeers: readonly Peer[] = [
  tidemarkListener,
  emmett,
  ...transactionalOutboxPeers,
  ...handWrittenPeers,
  tidemarkJobs,
  ...graphilePeers,
  pgBoss,
  dbos,
]

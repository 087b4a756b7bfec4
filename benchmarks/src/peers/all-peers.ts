import { handWrittenPeers } from './hand-written.ts'
import type { Peer } from './peer.ts'
import { tidemark } from './tidemark-peer.ts'

/** Who is compared. */
export const allPeers: readonly Peer[] = [tidemark, ...handWrittenPeers]

import type { Peer } from '../access/access.ts'

/** What adapters take: an API, or any other handler of requests. */
export type FetchHandler = (request: Request, peer?: Peer) => Promise<Response>

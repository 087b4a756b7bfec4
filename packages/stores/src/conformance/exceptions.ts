import type { PromiseName } from './promises.ts'

/**
 * What a backend of this package does not promise, and why. The table of docs/stores.md is made from this and from the
 * promises.
 */
export const exceptions: Readonly<
  Record<
    'memory' | 'postgres' | 'redis' | 's3' | 'dynamodb' | 'service',
    Readonly<Partial<Record<PromiseName, string>>>
  >
> = {
  memory: {
    killed: 'it ends with its process',
    down: 'it has no server',
    'half-open': 'it has no connections',
  },
  postgres: {
    watch: 'a NOTIFY takes a lock that all commits of the cluster share',
  },
  redis: {},
  s3: {
    watch: 'nobody is told of a change of an object',
  },
  dynamodb: {
    watch: 'its streams are read by one consumer for each shard, not by whoever looks',
  },
  // The state service, as its client sees it: what its backend keeps.
  service: {
    large: 'what counts is the line of a request, 1 MiB, and a client says so',
    watch: 'the protocol answers, and tells nothing by itself',
    sweep: 'the service sweeps by itself',
    'half-open': 'its connection is a socket of the same machine',
  },
}

import { setTimeout as after } from 'node:timers/promises'
import { createTopicsV7, describeConfigsV4 } from '@platformatic/kafka'
import { TidemarkError } from 'tidemark'
import type { TopicOptions } from '../kafka-options.ts'
import { abortable } from './abortable.ts'
import { answered } from './broker-error.ts'
import type { Cluster, Topic } from './cluster.ts'

/** What a broker says of a topic's settings, by their names; undefined when it does not say. */
export type TopicConfigs = ReadonlyMap<string, string | null> | undefined

const topicResource = 2
const brokersChoice = -1
const created = 10_000

/**
 * Describes a topic, and makes it when there is none.
 *
 * @param options - `false`: it must be there.
 * @param configs - the settings that it is made with, under those of `options`.
 */
export async function ensureTopic(
  cluster: Cluster,
  name: string,
  options: TopicOptions | false,
  configs: Readonly<Record<string, string>>,
  signal: AbortSignal,
): Promise<Topic> {
  const found = await cluster.topic(name, signal)
  if (found !== undefined) return found
  if (options === false) throw new Error(`there is no topic ${name}, and it is not to be made`)
  const settings = Object.entries({ ...configs, ...options.configs })
  try {
    await abortable(
      createTopicsV7.api.async(
        await cluster.any(signal),
        [
          {
            name,
            numPartitions: options.partitions ?? 1,
            replicationFactor: options.replicas ?? brokersChoice,
            assignments: [],
            configs: settings.map(([key, value]) => ({ name: key, value })),
          },
        ],
        created,
        false,
      ),
      signal,
    )
  } catch (error) {
    // Another process made it at the same time.
    if (!answered(error, 'topicExists')) throw error
  }
  return known(cluster, name, signal)
}

/** Waits until the broker that is asked knows of a topic that was just made, and of its leaders. */
async function known(cluster: Cluster, name: string, signal: AbortSignal): Promise<Topic> {
  for (;;) {
    try {
      const topic = await cluster.topic(name, signal)
      if (topic?.partitions.every(({ leader }) => leader >= 0) === true) return topic
    } catch (error) {
      if (!answered(error, 'leaderNotAvailable')) throw error
    }
    await after(50, undefined, { signal })
  }
}

/** What the broker says of a topic's settings; undefined where it does not tell this user. */
export async function configsOf(
  cluster: Cluster,
  name: string,
  signal: AbortSignal,
): Promise<TopicConfigs> {
  try {
    const { results } = await abortable(
      describeConfigsV4.api.async(
        await cluster.any(signal),
        [{ resourceType: topicResource, resourceName: name, configurationKeys: null }],
        false,
        false,
      ),
      signal,
    )
    return new Map(results[0]?.configs.map(({ name: key, value }) => [key, value ?? null]))
  } catch (error) {
    if (answered(error, 'topicAuthorizationFailed', 'clusterAuthorizationFailed')) return undefined
    throw error
  }
}

/** Kafka's word for it. */
const cleanup = 'cleanup.policy'

/**
 * Refuses a topic that would lose what it must keep: compaction keeps one event of each key, and deletion forgets where
 * a relay goes on.
 *
 * @throws TidemarkError TIDEMARK_RELAY_STREAM_UNFIT.
 */
export function requirePolicy(
  { name }: Topic,
  configs: TopicConfigs,
  policy: 'delete' | 'compact',
): void {
  const value = configs?.get(cleanup)
  if (value === undefined || value === null || value === policy) return
  throw unfit(name, `${cleanup} "${value}", and needs "${policy}"`)
}

/**
 * Compares a topic that is there with what its definition says of it.
 *
 * @throws TidemarkError TIDEMARK_RELAY_STREAM_UNFIT.
 */
export function requireAsDefined(topic: Topic, configs: TopicConfigs, wanted: TopicOptions): void {
  const { partitions, replicas } = wanted
  if (partitions !== undefined && topic.partitions.length < partitions) {
    throw unfit(
      topic.name,
      `${topic.partitions.length} partitions, and is defined with ${partitions}`,
    )
  }
  const fewest = Math.min(...topic.partitions.map((partition) => partition.replicas))
  if (replicas !== undefined && fewest < replicas) {
    throw unfit(topic.name, `${fewest} replicas, and is defined with ${replicas}`)
  }
  for (const [key, value] of Object.entries(wanted.configs ?? {})) {
    const found = configs?.get(key)
    if (configs === undefined || found === value) continue
    throw unfit(topic.name, `${key} ${JSON.stringify(found)}, and is defined with "${value}"`)
  }
}

function unfit(topic: string, has: string): TidemarkError {
  return new TidemarkError('TIDEMARK_RELAY_STREAM_UNFIT', `the topic ${topic} has ${has}`, {
    details: { stream: topic },
  })
}

import { randomUUID } from 'node:crypto'
import type { ApiParts } from './apis.ts'

const node = 1
const unknownTopic = 3
const topicExists = 36

interface TopicAnswer {
  readonly name: string
  readonly error: number
  readonly id: string
  readonly partitions: number
}

/** Describes topics: one broker leads every partition. */
export const metadata: ApiParts<string[], { port: number; topics: TopicAnswer[] }> = {
  key: 3,
  version: 12,
  read(r) {
    const names = r.readArray((item) => {
      item.readUUID()
      return item.readNullableString() ?? ''
    })
    return names
  },
  answer: ({ port, topics }, names) => ({
    port,
    topics: names.map((name) => {
      const topic = topics.get(name)
      if (topic === undefined) return missing(name, unknownTopic)
      return { name, error: 0, id: topic.id, partitions: topic.partitions.length }
    }),
  }),
  refuse: (names, error) => ({ port: 0, topics: names.map((name) => missing(name, error)) }),
  write: (w, { port, topics }) =>
    w
      .appendInt32(0)
      .appendArray([port], (item, value) =>
        item.appendInt32(node).appendString('127.0.0.1').appendInt32(value).appendString(null),
      )
      .appendString('fake')
      .appendInt32(node)
      .appendArray(topics, (item, topic) =>
        item
          .appendInt16(topic.error)
          .appendString(topic.name)
          .appendUUID(topic.id)
          .appendBoolean(false)
          .appendArray([...Array.from({ length: topic.partitions }).keys()], (part, index) =>
            part
              .appendInt16(0)
              .appendInt32(index)
              .appendInt32(node)
              .appendInt32(0)
              .appendArray([node], (each, id) => each.appendInt32(id), true, false)
              .appendArray([node], (each, id) => each.appendInt32(id), true, false)
              .appendArray<number>([], () => {}, true, false),
          )
          .appendInt32(0),
      ),
}

function missing(name: string, error: number): TopicAnswer {
  return { name, error, id: '00000000-0000-0000-0000-000000000000', partitions: 0 }
}

interface NewTopic {
  readonly name: string
  readonly partitions: number
  readonly configs: Record<string, string>
}

/** Makes topics. */
export const createTopics: ApiParts<NewTopic[], { name: string; error: number }[]> = {
  key: 19,
  version: 7,
  read: (r) =>
    r.readArray((item) => {
      const name = item.readString()
      const partitions = item.readInt32()
      item.readInt16()
      item.readArray(() => item.readArray(() => item.readInt32(), true, false))
      const configs = item.readArray(() => [item.readString(), item.readNullableString() ?? ''])
      return { name, partitions, configs: Object.fromEntries(configs) as Record<string, string> }
    }),
  answer: (broker, body) =>
    body.map(({ name, partitions, configs }) => {
      if (broker.topics.has(name)) return { name, error: topicExists }
      broker.make(name, partitions, configs)
      return { name, error: 0 }
    }),
  refuse: (body, error) => body.map(({ name }) => ({ name, error })),
  write: (w, answers) =>
    w.appendInt32(0).appendArray(answers, (item, { name, error }) =>
      item
        .appendString(name)
        .appendUUID(randomUUID())
        .appendInt16(error)
        .appendString(null)
        .appendInt32(-1)
        .appendInt16(-1)
        .appendArray<string>([], () => {}),
    ),
}

/** Says how topics are set up. */
export const describeConfigs: ApiParts<
  string[],
  { name: string; error: number; configs: [string, string][] }[]
> = {
  key: 32,
  version: 4,
  read: (r) =>
    r.readArray((item) => {
      item.readInt8()
      const name = item.readString()
      item.readNullableArray(() => item.readString(), true, false)
      return name
    }),
  answer: ({ topics }, names) =>
    names.map((name) => {
      const topic = topics.get(name)
      const error = topic === undefined ? unknownTopic : 0
      return { name, error, configs: [...(topic?.configs ?? [])] }
    }),
  refuse: (names, error) => names.map((name) => ({ name, error, configs: [] })),
  write: (w, results) =>
    w.appendInt32(0).appendArray(results, (item, { name, error, configs }) =>
      item
        .appendInt16(error)
        .appendString(null)
        .appendInt8(2)
        .appendString(name)
        .appendArray(configs, (config, [key, value]) =>
          config
            .appendString(key)
            .appendString(value)
            .appendBoolean(false)
            .appendInt8(1)
            .appendBoolean(false)
            .appendArray<string>([], () => {})
            .appendInt8(2)
            .appendString(null),
        ),
    ),
}

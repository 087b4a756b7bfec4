import { Reader, Writer } from '@platformatic/kafka'
import type { FakeKafka } from './fake-kafka.ts'
import * as reading from './reading.ts'
import * as topics from './topics.ts'
import * as writing from './writing.ts'

/** One request of the protocol: its number, the version that is spoken, and what it does. */
export interface ApiParts<Body, Answer> {
  readonly key: number
  readonly version: number
  readonly read: (reader: Reader) => Body
  readonly answer: (broker: FakeKafka, body: Body) => Answer | Promise<Answer>
  /** What is answered when nothing is done but to refuse. */
  readonly refuse: (body: Body, error: number) => Answer
  readonly write: (writer: Writer, answer: Answer) => Writer
}

interface ApiMessage {
  readonly key: number
  readonly version: number
  read(frame: Buffer): { readonly correlation: number; readonly body: unknown }
  answer(broker: FakeKafka, body: unknown): unknown
  refuse(body: unknown, error: number): unknown
  write(correlation: number, answer: unknown): Buffer
}

// Its answer has the old header, so that a client can read it that knows nothing yet.
const apiVersionsKey = 18

function api<Body, Answer>(parts: ApiParts<Body, Answer>): ApiMessage {
  return {
    key: parts.key,
    version: parts.version,
    read(frame) {
      const reader = Reader.from(frame)
      reader.skip(4)
      const correlation = reader.readInt32()
      reader.readNullableString(false)
      reader.readTaggedFields()
      return { correlation, body: parts.read(reader) }
    },
    answer: (broker, body) => parts.answer(broker, body as Body),
    refuse: (body, error) => parts.refuse(body as Body, error),
    write(correlation, answer) {
      const writer = Writer.create().appendInt32(correlation)
      if (parts.key !== apiVersionsKey) writer.appendTaggedFields()
      return parts
        .write(writer, answer as Answer)
        .appendTaggedFields()
        .prependLength().buffer
    },
  }
}

/** What the broker speaks. */
export const apis = {
  produce: api(writing.produce),
  fetch: api(reading.fetch),
  listOffsets: api(reading.listOffsets),
  metadata: api(topics.metadata),
  findCoordinator: api(writing.findCoordinator),
  apiVersions: api({
    key: apiVersionsKey,
    version: 3,
    read: () => null,
    answer: () => 0,
    refuse: (_body, error: number) => error,
    write: (writer, error) =>
      writer
        .appendInt16(error)
        .appendArray(spoken(), (w, { key, version }) =>
          w.appendInt16(key).appendInt16(0).appendInt16(version),
        )
        .appendInt32(0),
  }),
  createTopics: api(topics.createTopics),
  initProducerId: api(writing.initProducerId),
  addPartitionsToTxn: api(writing.addPartitionsToTxn),
  endTxn: api(writing.endTxn),
  describeConfigs: api(topics.describeConfigs),
} as const

/** The name of an API. */
export type Api = keyof typeof apis

function spoken(): ApiMessage[] {
  return Object.values<ApiMessage>(apis)
}

/** What is answered to a request that is refused. */
export function errorResponse(message: ApiMessage, body: unknown, error: number): unknown {
  return message.refuse(body, error)
}

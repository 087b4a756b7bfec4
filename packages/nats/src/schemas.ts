import type { NatsConnection } from '@nats-io/transport-node'
import { jsonSchemaOf, type EventDefinition } from 'tidemark'

/** Keeps the JSON Schema of each event in a bucket; one that is there already is not written again. */
export async function keepSchemas(
  connection: NatsConnection,
  bucket: string,
  events: readonly EventDefinition<string, unknown>[],
): Promise<void> {
  const { Kvm } = await import('@nats-io/kv')
  const schemas = await new Kvm(connection).create(bucket)
  for (const { type, version, description, schema } of events) {
    const text = JSON.stringify({
      title: type,
      ...(description === undefined ? {} : { description }),
      ...jsonSchemaOf(schema),
    })
    const key = `${keyOf(type)}.${version}`
    const there = await schemas.get(key)
    if (there?.operation !== 'PUT' || there.string() !== text) await schemas.put(key, text)
  }
}

// What a key cannot hold is written as the hexadecimal digits of its bytes, each after "=".
function keyOf(type: string): string {
  return type
    .replaceAll(/[^\w./-]/gu, (character) =>
      [...Buffer.from(character)].map((byte) => `=${byte.toString(16).padStart(2, '0')}`).join(''),
    )
    .replaceAll(/\.(?=\.|$)|^\./gu, '=2e')
}

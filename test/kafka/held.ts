import type { Kafka } from '@tidemark/kafka'
import type { TakenMessage } from 'tidemark'

/** What an intake reads of a topic, up to what its relay has committed. */
export async function taken(target: Kafka): Promise<TakenMessage[]> {
  const signal = AbortSignal.timeout(30_000)
  const { position } = await target.inspect(signal)
  const feed = await target.openForReading({ created: undefined, position: 0n }, signal)
  try {
    const messages: TakenMessage[] = []
    while ((messages.at(-1)?.position ?? 0n) < position) {
      messages.push(...(await feed.next(1_000, signal)))
      signal.throwIfAborted()
    }
    return messages
  } finally {
    await feed.close()
  }
}

/** The sequences of the outbox that a topic holds, in the order in which an intake gets them. */
export async function held(target: Kafka): Promise<number[]> {
  return (await taken(target)).map(({ message }) => {
    if (message === undefined || message instanceof Error) throw new Error('it cannot be read')
    return Number(message.sequence)
  })
}

import { isTidemarkError, TidemarkError } from 'tidemark'

/** Error codes of the protocol that something is made of here. */
export const brokerCodes = {
  offsetOutOfRange: 1,
  unknownTopic: 3,
  leaderNotAvailable: 5,
  messageTooLarge: 10,
  recordListTooLarge: 18,
  topicAuthorizationFailed: 29,
  clusterAuthorizationFailed: 31,
  unsupportedVersion: 35,
  topicExists: 36,
  outOfOrderSequence: 45,
  invalidProducerEpoch: 47,
  invalidTransactionState: 48,
  invalidProducerIdMapping: 49,
  concurrentTransactions: 51,
  producerFenced: 90,
} as const

type BrokerCode = keyof typeof brokerCodes

// Each says that the transactional id belongs to somebody else by now, or that its transaction was ended.
const outran: readonly BrokerCode[] = [
  'invalidProducerEpoch',
  'producerFenced',
  'invalidTransactionState',
  'invalidProducerIdMapping',
  'outOfOrderSequence',
]

/** Whether a broker answered with one of these codes. */
export function answered(error: unknown, ...codes: readonly BrokerCode[]): boolean {
  return codes.some((code) => has(error, brokerCodes[code]))
}

// The client wraps what a broker answers: the errors of a response in one, those of several tries in another.
function has(error: unknown, code: number): boolean {
  if (!(error instanceof Error)) return false
  if ((error as { apiCode?: unknown }).apiCode === code) return true
  const within = error instanceof AggregateError ? error.errors : []
  return [...within, error.cause].some((inner) => has(inner, code))
}

/** What the broker's trouble is to whoever waits for it. Our own errors stay what they are. */
export function unavailable(topic: string, error: unknown): TidemarkError {
  if (isTidemarkError(error)) return error
  if (answered(error, ...outran)) return outrun(topic, reasonOf(error), error)
  if (answered(error, 'messageTooLarge', 'recordListTooLarge')) {
    return new TidemarkError(
      'TIDEMARK_RELAY_MESSAGE_REFUSED',
      `the topic ${topic} does not take a message: ${reasonOf(error)}`,
      { cause: error, details: { stream: topic } },
    )
  }
  return new TidemarkError(
    'TIDEMARK_BROKER_UNAVAILABLE',
    `the topic ${topic} cannot be reached: ${reasonOf(error)}`,
    { cause: error, details: { stream: topic } },
  )
}

/** Somebody else has the transactional id, or has written to the topic. */
export function outrun(topic: string, reason: string, cause?: unknown): TidemarkError {
  return new TidemarkError(
    'TIDEMARK_RELAY_OUTRUN',
    `the topic ${topic} was written to by somebody else meanwhile: ${reason}`,
    { details: { stream: topic }, ...(cause === undefined ? {} : { cause }) },
  )
}

function reasonOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error)
  const within: unknown[] = error instanceof AggregateError ? error.errors : []
  const inner = within[0] ?? error.cause
  return inner instanceof Error ? `${error.message} ${reasonOf(inner)}` : error.message
}

export { defineIntake, type Intake, type IntakeOptions, type Relay } from 'tidemark'
export { defineRelay, type KafkaRelayOptions } from './define-relay.ts'
export { kafka, type Kafka, type KafkaOptions, type KafkaRouting } from './kafka.ts'
export type {
  CloudEventMode,
  KafkaCompression,
  KafkaConnect,
  KafkaCredential,
  KafkaSasl,
  TopicOptions,
} from './kafka-options.ts'

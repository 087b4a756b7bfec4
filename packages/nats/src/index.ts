export { defineIntake, type Intake, type IntakeOptions, type Relay } from 'tidemark'
export { defineRelay, type JetStreamRelayOptions } from './define-relay.ts'
export { jetstream, type JetStream, type JetStreamOptions, type SubjectOf } from './jetstream.ts'

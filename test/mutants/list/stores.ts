import type { MutantGroup } from '../mutant.ts'

const jobValues = 'packages/core/src/job/coded/job-values.ts'
const jobCodec = 'test/stores/job-codec.test.ts'
const moved =
  'a value that was moved to another row, put back from before, or replaced by a plain one is refused'
const claimCheck = 'test/stores/claim-check.test.ts'

/** G9: state that is kept elsewhere, and values that pass a codec. */
export const stores: MutantGroup = {
  guarantee: 'G9 State elsewhere is current, whole and its own',
  mutants: [
    {
      breaks: 'a value that a codec wrote does not belong to its job',
      edits: [
        {
          file: jobValues,
          find: 'return { key: `${job}/${part}`, version }',
          replace: 'return { key: `${job.length}${part.length}`, version }',
        },
      ],
      tests: { [jobCodec]: [moved] },
    },
    {
      breaks: 'a value that a codec wrote does not belong to the number of its writing',
      edits: [
        {
          file: jobValues,
          find: 'return { key: `${job}/${part}`, version }',
          replace: 'return { key: `${job}/${part}`, version: version * 0 }',
        },
      ],
      tests: { [jobCodec]: [moved] },
    },
    {
      breaks: 'a plain value is taken where only encoded ones are',
      edits: [
        {
          file: jobValues,
          find: 'if (!this.#acceptPlain && this.#codec !== undefined)',
          replace: 'if (!this.#acceptPlain && this.#codec === undefined)',
        },
      ],
      tests: { [jobCodec]: [moved] },
    },
    {
      breaks: 'rewriting writes over whatever is there',
      edits: [
        {
          file: jobValues,
          find: 'return was || next !== plain ? next : undefined',
          replace: 'return next',
        },
        {
          file: jobValues,
          find: 'this.#codec?.isCurrent?.(json as string, placeOf(of)) === true',
          replace: 'this.#codec?.isCurrent?.(json as string, placeOf(of)) === false',
        },
      ],
      tests: {
        [jobCodec]: [
          'rewrite brings plain rows under a key, then under another, then back, while what it cannot read stays',
        ],
      },
    },
    {
      breaks: 'a sealed value does not belong to its key and version',
      edits: [
        {
          file: 'packages/stores/src/codec/pipeline.ts',
          find: 'Buffer.from(`${version} ${key}`)',
          replace: 'Buffer.from(`${version * 0} ${key.length * 0}`)',
        },
      ],
      tests: {
        'test/stores/codecs.test.ts': [
          'is refused under another key, in another version, and in plain',
        ],
      },
    },
    {
      breaks: 'what an object store answers is believed',
      edits: [
        {
          file: 'packages/stores/src/codec/claim-check.ts',
          find: 'if (sha256Of(text) !== sha256) throw',
          replace: 'if (sha256Of(text) === undefined) throw',
        },
      ],
      tests: {
        [claimCheck]: [
          'a large value is an object, and what the object store answers else is not believed',
        ],
      },
    },
    {
      breaks: 'a value whose chunks are not all there is read as far as they are',
      edits: [
        {
          file: 'packages/stores/src/codec/chunks.ts',
          find: 'if (chunk === undefined) isWhole = false',
          replace: 'if (chunk === undefined) parts[index] = Buffer.alloc(0)',
        },
        {
          file: 'packages/stores/src/codec/claim-check.ts',
          find: 'if (sha256Of(text) !== sha256) throw',
          replace: 'if (sha256Of(text) === undefined) throw',
        },
      ],
      tests: {
        [claimCheck]: [
          'a value in chunks is read whole or not at all, and what a dead writer has left is swept',
        ],
      },
    },
    {
      breaks: 'the document in an object store is believed, whatever Postgres says of it',
      edits: [
        {
          file: 'packages/core/src/job/documented/documents.ts',
          find: 'if (text !== undefined && sha256Of(text) === reference.sha256) {',
          replace: 'if (text !== undefined) {',
        },
      ],
      tests: {
        'test/stores/context.test.ts': [
          'what was put late, lost or changed by others is never believed',
        ],
      },
    },
    {
      breaks: 'what a store does not take at once is left out of the mirror',
      edits: [
        {
          file: 'packages/stores/src/mirror/mirror-jobs.ts',
          find: 'const attempts = 2_147_483_647',
          replace: 'const attempts = 1',
        },
      ],
      tests: {
        'test/mirror/mirror.test.ts': [
          'a store that hangs costs lag, and no job a moment; when it is back, the mirror is exact',
        ],
      },
    },
    {
      breaks: 'a state service works on writes of one key side by side',
      edits: [
        {
          file: 'packages/stores/src/service/served/keyed-order.ts',
          find: 'before === undefined ? work() : before.then(work)',
          replace: 'before === undefined ? work() : work()',
        },
      ],
      tests: {
        'test/state-service/protocol.test.ts': [
          'writes of one key happen in their order, through whichever client',
        ],
      },
    },
    {
      breaks: 'what a service that is away has not taken is dropped',
      edits: [
        {
          file: 'packages/stores/src/client/sender.ts',
          find: 'this.#held.failed(held)\n      this.#rest(error)',
          replace: 'this.#held.givenUp(held)\n      this.#rest(error)',
        },
      ],
      tests: {
        'test/state-service/client.test.ts': [
          'without a service nothing is lost, and nobody waits; it is written when the service comes',
        ],
      },
    },
    {
      breaks: 'what is held goes before the source, also where something newer found no room',
      edits: [
        {
          file: 'packages/stores/src/client/held-states.ts',
          find: 'before.outdated = true',
          replace: 'before.outdated = false',
        },
      ],
      tests: {
        'test/state-service/client.test.ts': [
          'where there was no room for the last of a state, the source has it, and not what is held',
        ],
      },
    },
    {
      breaks: 'a write whose answer was lost happens again',
      edits: [
        {
          file: 'packages/stores/src/s3/s3-backend.ts',
          find: 'if (current !== undefined && isRepeated(current, write))',
          replace: 'if (current !== undefined && isRepeated(current, write) && !current.live)',
        },
      ],
      tests: {
        'test/stores/object-faults.test.ts': [
          'whichever request it is of which ${what}, each write happens once, and what is read is right',
        ],
      },
    },
    {
      breaks: 'a line that makes no sense is an error of the service',
      edits: [
        {
          file: 'packages/stores/src/service/served/connection.ts',
          find: 'if (request === undefined) return errorLine(id, problem)',
          replace: 'if (request === undefined) throw problem',
        },
      ],
      tests: {
        'test/state-service/fuzz.test.ts': [
          'none of ${messages} messages ends the service, and each that is answered is answered in JSON',
        ],
      },
    },
    {
      breaks: 'a document that could not be stored is forgotten',
      edits: [
        {
          file: 'packages/core/src/job/documented/documents.ts',
          find: 'this.#late.add(id)\n    this.#ring.resolve()',
          replace: 'this.#late.delete(id)\n    this.#ring.resolve()',
        },
      ],
      tests: {
        'test/stores/context.test.ts': [
          'a store that is away costs no step, and has everything soon after it is back',
        ],
      },
    },
    {
      breaks: 'values of jobs are stored as they are, although there is a codec',
      edits: [
        {
          file: jobValues,
          find: 'if (codec === undefined || !this.#write) return value',
          replace: 'if (codec === undefined || this.#write) return value',
        },
      ],
      tests: {
        [jobCodec]: [
          'states, variables and outputs are encrypted in the tables, and come back exactly in another attempt',
        ],
      },
    },
    {
      breaks: 'a value whose key is lost is no value',
      edits: [
        {
          file: jobValues,
          find: 'throw unreadable(of, messageOf(cause), cause)',
          replace: 'return cause === null ? messageOf(cause) : undefined',
        },
      ],
      tests: {
        [jobCodec]: [
          'without the codec or its key a job is shown all the same, says why, and fails with the key by name',
        ],
      },
    },
  ],
}

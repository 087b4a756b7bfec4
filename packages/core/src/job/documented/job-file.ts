import { rejectUnknownOptions, requireWhole } from '../../errors/options.ts'
import { TidemarkError } from '../../errors/tidemark-error.ts'
import type { DocumentFile } from '../defined/context-document.ts'
import type { NewFile, WebhookData } from '../defined/job-document.ts'
import { mediaTypeOf } from './media-type.ts'

const mostBytes = 512
const most = Number.MAX_SAFE_INTEGER

/**
 * A file as it is added to a document now.
 *
 * @throws TidemarkError TIDEMARK_INVALID_OPTION.
 */
export function fileOf(job: string, file: NewFile): DocumentFile {
  const where = `${job}: a file`
  rejectUnknownOptions(where, file, [
    'path',
    'location',
    'size',
    'mimeType',
    'rowCount',
    'sha256',
    'name',
    'createdAt',
  ])
  const { path, location, size, mimeType, rowCount = null, sha256 = null } = file
  requirePath(job, path)
  if (typeof location !== 'string' || location === '') {
    throw invalid(`${where}: "location" must say where it is`)
  }
  requireWhole(where, 'size', size, 0, most)
  if (rowCount !== null) requireWhole(where, 'rowCount', rowCount, 0, most)
  if (sha256 !== null && !/^[0-9a-f]{64}$/u.test(sha256)) {
    throw invalid(`${where}: "sha256" must be 64 hexadecimal digits`)
  }
  return {
    path,
    name: path.split('/').at(-1) as string,
    size,
    mimeType: mimeType ?? mediaTypeOf(path),
    rowCount,
    sha256,
    location,
    createdAt: new Date().toISOString(),
  }
}

/** @throws TidemarkError TIDEMARK_INVALID_OPTION for what would lead out of the job's folder, or nowhere. */
export function requirePath(job: string, path: unknown): asserts path is string {
  const valid =
    typeof path === 'string' &&
    path.isWellFormed() &&
    Buffer.byteLength(path) <= mostBytes &&
    // oxlint-disable-next-line no-control-regex -- they are what is looked for
    !/[\u0000-\u001f\u007f]/u.test(path) &&
    path.split('/').every((part) => part !== '' && part !== '.' && part !== '..')
  if (valid) return
  throw invalid(
    `${job}: the path of a file must be relative, without "." and "..", and at most ${mostBytes} bytes`,
  )
}

/** A webhook as it is stored: {@link WebhookData} with its times and what is missing filled in. */
export function webhookRow(webhook: WebhookData): object {
  rejectUnknownOptions('setWebhookData', webhook, [
    'method',
    'url',
    'headers',
    'payload',
    'query',
    'receivedAt',
  ])
  return { ...webhook, receivedAt: (webhook.receivedAt ?? new Date()).toISOString() }
}

function invalid(message: string): TidemarkError {
  return new TidemarkError('TIDEMARK_INVALID_OPTION', message, {
    hint: 'For instance { path: "exports/rates.csv", location: "s3://reports/rates.csv", size: 1024 }.',
  })
}

// What jobs write most: whatever else says its type itself.
const types: Readonly<Record<string, string>> = {
  csv: 'text/csv',
  gz: 'application/gzip',
  htm: 'text/html',
  html: 'text/html',
  jpeg: 'image/jpeg',
  jpg: 'image/jpeg',
  json: 'application/json',
  jsonl: 'application/x-ndjson',
  md: 'text/markdown',
  ndjson: 'application/x-ndjson',
  parquet: 'application/vnd.apache.parquet',
  pdf: 'application/pdf',
  png: 'image/png',
  tsv: 'text/tab-separated-values',
  txt: 'text/plain',
  xlsx: 'application/vnd.openxmlformats-officedocument.spreadsheetml.sheet',
  xml: 'application/xml',
  zip: 'application/zip',
  zst: 'application/zstd',
}

/** The media type that the end of a path stands for. */
export function mediaTypeOf(path: string): string {
  const end = /\.([^./]+)$/u.exec(path)?.[1]?.toLowerCase() ?? ''
  return Object.hasOwn(types, end) ? (types[end] as string) : 'application/octet-stream'
}

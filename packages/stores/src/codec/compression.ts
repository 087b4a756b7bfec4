import { gunzip, gzip, zstdCompress, zstdDecompress, type InputType } from 'node:zlib'

/** How bytes are made fewer. The numbers are those of the header. */
export const compressions = { none: 0, gzip: 1, zstd: 2 } as const

/** The name of a compression. */
export type Compression = keyof typeof compressions

type Work = (
  bytes: InputType,
  options: object,
  done: (error: Error | null, made: Buffer) => void,
) => void

// zstd is in node:zlib from 22.15 on.
const hasZstd = typeof zstdCompress === 'function'

/** The best that this Node has. */
export const bestCompression: Compression = hasZstd ? 'zstd' : 'gzip'

/** Whether this Node has it. */
export function canCompress(compression: Compression): boolean {
  return compression !== 'zstd' || hasZstd
}

/** In a thread of Node's, so that a large value does not hold the process up. */
export function compressed(bytes: Uint8Array, by: Exclude<Compression, 'none'>): Promise<Buffer> {
  return promised(by === 'zstd' ? zstdCompress : gzip, bytes, {})
}

/** @param most - rejects rather than make more bytes than these of a few. */
export function decompressed(bytes: Uint8Array, code: number, most: number): Promise<Buffer> {
  const options = { maxOutputLength: most }
  if (code === compressions.gzip) return promised(gunzip, bytes, options)
  if (code !== compressions.zstd) return Promise.reject(new Error(`unknown compression ${code}`))
  if (!hasZstd) return Promise.reject(new Error('zstd, which is in Node 22.15 and newer'))
  return promised(zstdDecompress, bytes, options)
}

function promised(work: Work, bytes: Uint8Array, options: object): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    work(bytes, options, (error, made) => {
      if (error === null) resolve(made)
      else reject(error)
    })
  })
}

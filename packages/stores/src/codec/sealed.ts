import { createCipheriv, createDecipheriv, randomBytes } from 'node:crypto'

const cipher = 'aes-256-gcm'
const nonceBytes = 12
const tagBytes = 16

/**
 * Encrypts: nonce, tag, ciphertext. The nonce is random, which does for 2^32 values of one key.
 *
 * @param about - what the bytes belong to: they cannot be read as belonging to anything else.
 */
export function sealed(key: Uint8Array, bytes: Uint8Array, about: Uint8Array): Buffer {
  const nonce = randomBytes(nonceBytes)
  const sealing = createCipheriv(cipher, key, nonce)
  sealing.setAAD(about)
  const text = Buffer.concat([sealing.update(bytes), sealing.final()])
  return Buffer.concat([nonce, sealing.getAuthTag(), text])
}

/** Decrypts. Throws unless key, bytes and what they belong to are those that were sealed. */
export function opened(key: Uint8Array, bytes: Uint8Array, about: Uint8Array): Buffer {
  const nonce = bytes.subarray(0, nonceBytes)
  const opening = createDecipheriv(cipher, key, nonce, { authTagLength: tagBytes })
  opening.setAuthTag(bytes.subarray(nonceBytes, nonceBytes + tagBytes))
  opening.setAAD(about)
  return Buffer.concat([opening.update(bytes.subarray(nonceBytes + tagBytes)), opening.final()])
}

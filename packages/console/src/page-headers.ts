// Nothing but what this console itself serves is loaded, nothing inline runs, and text becomes markup nowhere: what
// users bring is shown as text, whatever it says.
const policy = [
  "default-src 'none'",
  "script-src 'self'",
  "style-src 'self'",
  "img-src 'self'",
  "connect-src 'self'",
  "base-uri 'self'",
  "form-action 'none'",
  "frame-ancestors 'none'",
  "require-trusted-types-for 'script'",
  "trusted-types 'none'",
].join('; ')

const everywhere = {
  'x-content-type-options': 'nosniff',
  'referrer-policy': 'no-referrer',
  'cross-origin-opener-policy': 'same-origin',
  'cross-origin-resource-policy': 'same-origin',
}

/** The headers of the page itself. */
export const pageHeaders: Readonly<Record<string, string>> = {
  ...everywhere,
  'content-type': 'text/html; charset=utf-8',
  'content-security-policy': policy,
  'x-frame-options': 'DENY',
  // Where its files are called otherwise after an upgrade, it must not be an old one.
  'cache-control': 'no-store',
}

/** The headers of a file whose name has the digest of its content. */
export function assetHeaders(type: string): Readonly<Record<string, string>> {
  return {
    ...everywhere,
    'content-type': type,
    // `private`: who may not see the page gets nothing of it from a cache between.
    'cache-control': 'private, max-age=31536000, immutable',
  }
}

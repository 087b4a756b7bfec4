/** What can go wrong with requests of the HTTP API. */
export const requestCodes = {
  TIDEMARK_REQUEST_INVALID: {
    summary: 'A request to the HTTP API says something that it does not understand.',
    example: 'the query is invalid at limit: Too big: expected number to be <=1000',
    remedy: 'The OpenAPI document of the API, at `openapi.json`, says what each request takes.',
  },
  TIDEMARK_REQUEST_DENIED: {
    summary: 'A request to the HTTP API is not allowed.',
    example: 'no one may spawn here',
    remedy:
      'Without an `authorize` hook only clients on the same machine are served. A browser must send JSON, from an origin that is allowed.',
  },
  TIDEMARK_REQUEST_CHANGED: {
    summary: 'A request has the key of an earlier one, and says something else.',
    example:
      'send_email was not spawned: another request has spawned 01a20068-459c-7f5b-ac10-2fa5168fd22c',
    remedy:
      'Repeat a request with the very same body, and give another request an `Idempotency-Key` of its own.',
  },
} as const

/** From which byte a download is to go on: `Range: bytes=<from>-`, the form that resuming clients send. */
export type ByteRange = { readonly kind: 'whole' } | { readonly kind: 'from'; readonly from: number } | { readonly kind: 'beyond' };

/**
 * Other forms are answered with the whole file, as RFC 9110 §14.2 allows.
 * @param ifRange the entity tag whose continuation is asked for; of another one the whole is sent
 */
export function byteRange(range: string | undefined, ifRange: string | undefined, etag: string, bytes: number): ByteRange {
  const match = /^bytes=(\d{1,15})-$/.exec(range ?? '');
  if (match === null || (ifRange !== undefined && ifRange !== etag)) return { kind: 'whole' };
  const from = Number(match[1]);
  return from < bytes ? { kind: 'from', from } : { kind: 'beyond' };
}

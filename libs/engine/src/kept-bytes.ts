const SLAB = 64 * 1024;
/** Larger ones have memory of their own, so that little of a slab stays empty. */
const SHARE = SLAB / 8;

/**
 * Copies of short-lived bytes for those who keep them long and let them go in order. Bytes from a log are parts of whole answers, megabytes
 * that one kept record would hold in memory; here it holds 64 KiB at most.
 */
export class KeptBytes {
  private slab = Buffer.alloc(0);
  private filled = 0;

  keep(bytes: Uint8Array): Uint8Array {
    if (bytes.length > SHARE) return Uint8Array.from(bytes);
    if (bytes.length > this.slab.length - this.filled) {
      this.slab = Buffer.allocUnsafeSlow(SLAB);
      this.filled = 0;
    }
    const from = this.filled;
    this.slab.set(bytes, from);
    this.filled += bytes.length;
    return this.slab.subarray(from, this.filled);
  }
}

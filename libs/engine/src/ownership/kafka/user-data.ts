import { deflateRawSync, inflateRawSync } from 'node:zlib';

/** What a process tells the group about itself when it joins. */
export interface MemberCard {
  /** Where forwarded commands are sent; unique among living processes. */
  readonly address: string;
  readonly rack?: string | undefined;
  /** What it owned last, and the generation of the group that gave it that. */
  readonly owned: readonly number[];
  readonly generation: number;
  /** It is about to go: it is given nothing, so that others have its partitions before it lets go of them. */
  readonly leaving: boolean;
}

/** Who owns what since a generation of the group; every member is given all of it. */
export interface OwnersMap {
  readonly generation: number;
  /** Addresses per partition; undefined where nobody is the owner. */
  readonly owners: readonly (string | undefined)[];
  /** Partitions that changed hands, or had no owner, when this map was made. */
  readonly moved: number;
}

const VERSION = 1;
/** 4,096 partitions of 1,000 nodes fit many times; what unpacks to more is not ours. */
const MAX_BYTES = 1 << 20;

/** Compressed: all members' maps together are one record of the brokers, which they limit to 1 MiB. */
const pack = (value: unknown): Buffer => deflateRawSync(JSON.stringify(value));

export const encodeCard = ({ address, rack, owned, generation, leaving }: MemberCard): Buffer =>
  pack({ v: VERSION, address, rack, owned, generation, leaving });

export function encodeMap({ generation, owners, moved }: OwnersMap): Buffer {
  const addresses = [...new Set(owners.filter((owner) => owner !== undefined))];
  const index = new Map(addresses.map((address, i) => [address, i]));
  return pack({ v: VERSION, generation, moved, addresses, owners: owners.map((owner) => (owner === undefined ? -1 : index.get(owner))) });
}

/** Undefined for what no version of this code wrote: such a member is left alone. */
export function decodeCard(bytes: Uint8Array): MemberCard | undefined {
  const card = unpack(bytes);
  if (card === undefined || typeof card['address'] !== 'string' || card['address'] === '') return undefined;
  const { rack, owned, generation } = card;
  return {
    address: card['address'],
    rack: typeof rack === 'string' ? rack : undefined,
    owned: isNumbers(owned) ? owned : [],
    generation: typeof generation === 'number' ? generation : -1,
    leaving: card['leaving'] === true,
  };
}

export function decodeMap(bytes: Uint8Array): OwnersMap | undefined {
  const map = unpack(bytes);
  if (map === undefined) return undefined;
  const { generation, moved, addresses, owners } = map;
  if (typeof generation !== 'number' || typeof moved !== 'number' || !isNumbers(owners) || !Array.isArray(addresses)) return undefined;
  const named = addresses.map((address: unknown) => (typeof address === 'string' ? address : undefined));
  return { generation, moved, owners: owners.map((owner) => named[owner]) };
}

function unpack(bytes: Uint8Array): Readonly<Record<string, unknown>> | undefined {
  try {
    const value: unknown = JSON.parse(inflateRawSync(bytes, { maxOutputLength: MAX_BYTES }).toString('utf8'));
    return typeof value === 'object' && value !== null ? (value as Readonly<Record<string, unknown>>) : undefined;
  } catch {
    // Somebody else's bytes in our group: told apart from ours by not being readable.
    return undefined;
  }
}

const isNumbers = (value: unknown): value is readonly number[] =>
  Array.isArray(value) && value.every((item) => typeof item === 'number' && Number.isFinite(item));

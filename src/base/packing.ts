/** Bytes that a slot grows to, unless one item is larger: half of what any WebGPU device makes. */
const LARGEST = 128 * 2 ** 20;

/** First and last moment at which something is needed. */
export interface Life {
  readonly born: number;
  readonly dies: number;
}

/** Bytes that are needed for some time. */
export interface Item extends Life {
  readonly bytes: number;
  /** Items that must not share a slot with this one, whenever they live. Symmetric. */
  readonly apart: Set<Item>;
}

export interface PackedAt {
  readonly slot: number;
  /** bytes */
  readonly offset: number;
}

interface Slot {
  bytes: number;
  /** In order of offset. */
  readonly placed: { readonly item: Item; readonly offset: number; readonly end: number }[];
}

/** No way is best for every set of items: the order to place them in, and whether to avoid new slots. */
const WAYS: { order: (a: Item, b: Item) => number; extend: boolean }[] = [
  { order: (a, b) => b.bytes - a.bytes || span(b) - span(a), extend: true },
  { order: (a, b) => b.bytes - a.bytes, extend: false },
  { order: (a, b) => b.bytes * span(b) - a.bytes * span(a), extend: true },
  { order: (a, b) => b.bytes - a.bytes || span(b) - span(a), extend: false },
];
const span = ({ born, dies }: Life) => dies - born + 1;

/**
 * Places items in as few bytes of slots as it finds: two overlap only when their lives do not meet, and
 * those apart are in different slots. "Greedy by size" (Pisarchyk and Lee 2020) and its like; the first
 * way that comes within 1 % of `enough` is taken, else the best.
 */
export function pack(
  items: readonly Item[],
  enough: number,
): { placeOf: ReadonlyMap<Item, PackedAt>; slotBytes: readonly number[] } {
  let best: ReturnType<typeof packOnce> | undefined;
  for (const { order, extend } of WAYS) {
    const tried = packOnce(items.toSorted(order), extend);
    if (!best || tried.total < best.total) best = tried;
    if (best.total <= 1.01 * enough) break;
  }
  return best!;
}

/** Every item where the slots grow least; where that is by all its bytes, `extend` avoids a new slot. */
function packOnce(items: readonly Item[], extend: boolean) {
  const slots: Slot[] = [], placeOf = new Map<Item, PackedAt>();
  for (const item of items) {
    const { bytes, born, dies, apart } = item, barred = new Set<number>();
    for (const other of apart) if (placeOf.has(other)) barred.add(placeOf.get(other)!.slot);
    let best = { slot: slots.length, offset: 0, growth: bytes };
    for (let slot = 0; slot < slots.length && best.growth > 0; slot++) {
      if (barred.has(slot)) continue;
      const { bytes: size, placed } = slots[slot]!;
      let offset = 0; // the first gap that stays free all through this life
      for (const other of placed) {
        if (other.item.dies < born || dies < other.item.born) continue;
        if (other.offset - offset >= bytes || offset + bytes - size > best.growth) break;
        offset = Math.max(offset, other.end);
      }
      const growth = Math.max(0, offset + bytes - size);
      const better = growth < best.growth ||
        (extend && best.slot === slots.length && growth === bytes);
      const fits = growth === 0 || offset + bytes <= LARGEST;
      if (better && fits) best = { slot, offset, growth };
    }
    const { slot, offset, growth } = best, { placed } = slots[slot] ??= { bytes: 0, placed: [] };
    slots[slot]!.bytes += growth;
    const after = placed.findIndex((other) => other.offset > offset);
    placed.splice(after < 0 ? placed.length : after, 0, { item, offset, end: offset + bytes });
    placeOf.set(item, { slot, offset });
  }
  const slotBytes = slots.map(({ bytes }) => bytes);
  return { placeOf, slotBytes, total: slotBytes.reduce((a, b) => a + b, 0) };
}

/**
 * Which buffer of a pool each size takes: the smallest that is large enough, or one that is to be made,
 * numbered from the end of the pool.
 */
export function share(pool: readonly number[], sizes: readonly number[]): number[] {
  const taken = new Set<number>(), chosen: number[] = [];
  let made = pool.length;
  for (const i of [...sizes.keys()].sort((a, b) => sizes[b]! - sizes[a]!)) {
    let best: number | undefined;
    pool.forEach((bytes, at) => {
      const fits = bytes >= sizes[i]! && !taken.has(at);
      if (fits && (best === undefined || bytes < pool[best]!)) best = at;
    });
    taken.add(chosen[i] = best ?? made++);
  }
  return chosen;
}

/**
 * Lays parts one after another into pages of at most `page`, in the order given, a larger part in one of its
 * own; those of each group share pages with no others.
 * @returns the size and the group of each page, and for each part its page and where it begins there
 */
export function inPages(
  parts: readonly { readonly size: number; readonly group: number }[],
  page: number,
): { pages: number[]; groups: number[]; at: { page: number; offset: number }[] } {
  const pages: number[] = [], groups: number[] = [];
  const at = parts.map(({ size, group }) => {
    let last = groups.lastIndexOf(group);
    if (last < 0 || pages[last]! + size > page) {
      last = groups.push(group) - 1;
      pages.push(0);
    }
    const offset = pages[last]!;
    pages[last] = offset + size;
    return { page: last, offset };
  });
  return { pages, groups, at };
}

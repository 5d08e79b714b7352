const known = new Map<string, Sweep>();

interface Sweep {
  /** Blocks to go forward before a result is held. */
  readonly step: number;
  /** Blocks computed only to get to a later one, in the whole sweep. */
  readonly advances: number;
}

/**
 * The cheapest way back through `blocks` of a chain when its input and `held` results between are kept:
 * go `step` blocks forward and hold what is there, go back through the rest, then through these. With
 * c = held + 1 and the r for which C(c+r-1, c) < blocks ≤ C(c+r, c) it takes r·blocks - C(c+r, c+1)
 * advances ("revolve", Griewank and Walther 2000).
 */
export function revolve(blocks: number, held: number): Sweep {
  if (held >= blocks - 1) return { step: 1, advances: blocks - 1 };
  if (held === 0) return { step: blocks - 1, advances: blocks * (blocks - 1) / 2 };
  const key = `${blocks} ${held}`;
  let best = known.get(key);
  if (best) return best;
  for (let step = 1; step < blocks; step++) {
    const rest = revolve(blocks - step, held - 1), these = revolve(step, held);
    const advances = step + rest.advances + these.advances;
    if (!best || advances < best.advances) best = { step, advances };
  }
  known.set(key, best!);
  return best!;
}

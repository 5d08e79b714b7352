/**
 * A two-dimensional grid of at least `n` workgroups that respects WebGPU's 65,535 a dimension. The
 * kernel finds its number as `group.y * groups.x + group.x` and returns when it is past the end.
 */
export function grid(n: number): readonly [number, number, number] {
  const rows = Math.max(1, Math.ceil(n / 65535));
  return [Math.max(1, Math.ceil(n / rows)), rows, 1];
}

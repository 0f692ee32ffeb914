/** The values in rising order, and the place of every value in that order; of equal ones the lower index comes later. */
export function ranked(values: Float64Array): { sorted: Float64Array; rank: Uint32Array } {
  const sorted = values.slice().sort();
  const rank = new Uint32Array(values.length);
  const taken = new Uint32Array(values.length);
  for (let j = values.length - 1; j >= 0; j--) {
    const first = lowerBound(sorted, values[j]!);
    rank[j] = first + taken[first]!++;
  }
  return { sorted, rank };
}

/** The first place of a rising list that holds no less than `value`. */
function lowerBound(sorted: Float64Array, value: number): number {
  let [from, to] = [0, sorted.length];
  while (from < to) {
    const middle = (from + to) >>> 1;
    if (sorted[middle]! < value) from = middle + 1;
    else to = middle;
  }
  return from;
}

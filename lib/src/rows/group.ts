/** Rows with the same values under `keys`. */
export interface Group<T, K extends keyof T> {
  readonly key: Pick<T, K>;
  readonly rows: T[];
}

/** Mean, sample standard deviation (n - 1; NaN for one value), count and range of one column. */
export interface Stats {
  readonly mean: number;
  readonly sd: number;
  readonly n: number;
  readonly min: number;
  readonly max: number;
}

const statNames: readonly string[] = ["mean", "sd", "n", "min", "max"] satisfies (keyof Stats)[];

/**
 * Rows with equal values under `keys`, groups in order of first appearance. Values are compared, never joined as text:
 * ("a-b", "c") and ("a", "b-c") stay two groups, 1 and "1" as well.
 * @throws RangeError naming a key that a row lacks
 */
export function groupBy<T extends object, K extends keyof T & string>(
  rows: readonly T[],
  keys: readonly K[],
): Group<T, K>[] {
  const groups = new Map<string, Group<T, K>>();
  for (const row of rows) {
    const key = Object.fromEntries(keys.map((k) => [k, cellOf(row, k, "groupBy")])) as Pick<T, K>;
    const id = JSON.stringify(keys.map((k) => [typeof key[k], String(key[k])]));
    const group = groups.get(id);
    if (group) group.rows.push(row);
    else groups.set(id, { key, rows: [row] });
  }
  return [...groups.values()];
}

/**
 * One row a group: the keys and the statistics of column `value`.
 *   mean = sum x / n,  sd = sqrt(sum (x - mean)^2 / (n - 1))
 * @throws RangeError when a value is not a number or a key is called like a statistic (mean, sd, n, min, max)
 */
export function aggregate<T extends object, K extends keyof T & string>(
  rows: readonly T[],
  { by, value }: { readonly by: readonly K[]; readonly value: keyof T & string },
): (Pick<T, K> & Stats)[] {
  const clash = by.find((k) => statNames.includes(k));
  if (clash) throw new RangeError(`aggregate: cannot group by '${clash}', the result has a statistic of that name`);
  return groupBy(rows, by).map(({ key, rows: group }) => ({
    ...key,
    ...stats(group.map((row) => numberOf(row, value, "aggregate"))),
  }));
}

/**
 * Statistics of a list of numbers. NaN in, NaN out.
 * @throws RangeError for an empty list
 */
export function stats(values: readonly number[]): Stats {
  const n = values.length;
  if (n === 0) throw new RangeError("stats: values must not be empty");
  const mean = values.reduce((sum, x) => sum + x, 0) / n;
  const squares = values.reduce((sum, x) => sum + (x - mean) ** 2, 0);
  return {
    mean,
    sd: n > 1 ? Math.sqrt(squares / (n - 1)) : Number.NaN,
    n,
    min: values.reduce((a, x) => Math.min(a, x), Number.POSITIVE_INFINITY),
    max: values.reduce((a, x) => Math.max(a, x), Number.NEGATIVE_INFINITY),
  };
}

/**
 * Long form to wide: one row for each combination of `index`, one column for each value of `columns`, filled from `value`.
 * Cells without a row are absent.
 * @throws RangeError when two rows fall into one cell (aggregate first) or a column would overwrite an index
 */
export function pivot<T extends object, I extends keyof T & string>(
  rows: readonly T[],
  {
    index,
    columns,
    value,
  }: { readonly index: readonly I[]; readonly columns: keyof T & string; readonly value: keyof T & string },
): (Pick<T, I> & Record<string, unknown>)[] {
  return groupBy(rows, index).map(({ key, rows: group }) => {
    const wide: Record<string, unknown> = { ...key };
    for (const row of group) {
      const column = String(cellOf(row, columns, "pivot"));
      if (index.some((i) => i === column)) throw new RangeError(`pivot: column '${column}' is also an index`);
      if (Object.hasOwn(wide, column))
        throw new RangeError(`pivot: two rows for ${JSON.stringify(key)} and ${columns} '${column}'; aggregate first`);
      wide[column] = row[value];
    }
    return wide as Pick<T, I> & Record<string, unknown>;
  });
}

/**
 * A sorted copy, stable. Keys in order of weight, "-keep" sorts downward. Numbers by value with NaN last, the rest by code
 * unit, so that the order is the same on every machine.
 */
export function sortBy<T extends object>(
  rows: readonly T[],
  ...keys: readonly ((keyof T & string) | `-${keyof T & string}`)[]
): T[] {
  const order = keys.map((k) => (k.startsWith("-") ? { key: k.slice(1), sign: -1 } : { key: k as string, sign: 1 }));
  for (const row of rows) for (const { key } of order) cellOf(row, key as keyof T & string, "sortBy");
  return [...rows].sort((a, b) => {
    for (const { key, sign } of order) {
      const c = compare(a[key as keyof T], b[key as keyof T], sign);
      if (c !== 0) return c;
    }
    return 0;
  });
}

function compare(a: unknown, b: unknown, sign: number): number {
  if (typeof a === "number" && typeof b === "number") {
    if (Number.isNaN(a) || Number.isNaN(b)) return Number(Number.isNaN(a)) - Number(Number.isNaN(b));
    return sign * (a - b || 0);
  }
  const x = String(a);
  const y = String(b);
  return x < y ? -sign : x > y ? sign : 0;
}

function cellOf<T extends object, K extends keyof T & string>(row: T, key: K, who: string): T[K] {
  if (!Object.hasOwn(row, key)) throw new RangeError(`${who}: a row has no '${key}': ${JSON.stringify(row)}`);
  return row[key];
}

function numberOf<T extends object>(row: T, key: keyof T & string, who: string): number {
  const value: unknown = cellOf(row, key, who);
  if (typeof value !== "number")
    throw new RangeError(`${who}: '${key}' must be a number in every row: ${JSON.stringify(row)}`);
  return value;
}

import type { backend } from "secateur";

/** The corruption as its docstring says it, with Math.sin and nested lists; reads the stream in the documented order. */
export function slowCorrupt(
  glyph: Uint8Array,
  distractor: Uint8Array,
  stream: backend.Stream,
  strength: number,
): number[][] {
  const x = stroked(image(glyph), stream.uniform(-0.6, 0.8));
  const foreground = placed(x, {
    angle: strength * stream.uniform(-0.45, 0.45),
    scale: stream.uniform(0.62, 1),
    shear: strength * stream.uniform(-0.35, 0.35),
    aspect: stream.uniform(0.75, 1.33),
    shift: [stream.uniform(-3, 3), stream.uniform(-3, 3)],
  });
  const y = stroked(image(distractor), stream.uniform(-0.6, 0.8));
  const direction = stream.uniform(-Math.PI, Math.PI);
  const distance = stream.uniform(11, 17);
  const beside = placed(y, {
    angle: stream.uniform(-Math.PI, Math.PI),
    scale: stream.uniform(0.6, 1),
    shear: stream.uniform(-0.3, 0.3),
    aspect: stream.uniform(0.75, 1.33),
    shift: [distance * Math.cos(direction), distance * Math.sin(direction)],
  });
  const there = stream.uniform() < 0.7 * strength;
  const polarity = stream.sign();
  const contrast = stream.uniform(0.3, 0.9);
  const base = 0.5 - (polarity * contrast) / 2 + stream.uniform(-0.1, 0.1);
  const roughness = strength * stream.uniform(0, 0.22);
  const noise = strength * stream.uniform(0.02, 0.11);
  const octaves = [3, 6, 11].map((k) =>
    upsampled(Array.from({ length: k }, () => Array.from({ length: k }, () => stream.normal()))),
  );
  return range(28).map((i) =>
    range(28).map((j) => {
      const at = (picture: number[][]): number => picture[i]?.[j] as number;
      const shape = Math.max(at(foreground), there ? 0.75 * at(beside) : 0);
      const [o3, o6, o11] = octaves.map(at) as [number, number, number];
      const texture = 0.6 * o3 + 0.4 * o6 + 0.3 * o11;
      const value = base + polarity * contrast * shape + roughness * texture + noise * stream.normal();
      return Math.round(Math.min(1, Math.max(0, value)) * 15);
    }),
  );
}

const range = (n: number): number[] => [...Array(n).keys()];
const image = (levels: Uint8Array): number[][] =>
  range(32).map((i) => range(32).map((j) => (levels[i * 32 + j] as number) / 15));

function stroked(x: number[][], a: number): number[][] {
  return x.map((row, i) =>
    row.map((value, j) => {
      const around = [-1, 0, 1]
        .flatMap((di) => [-1, 0, 1].map((dj) => x[i + di]?.[j + dj]))
        .filter((v): v is number => v !== undefined);
      return a > 0 ? value + a * (Math.max(...around) - value) : value + a * (value - Math.min(...around));
    }),
  );
}

interface Placement {
  readonly angle: number;
  readonly scale: number;
  readonly shear: number;
  readonly aspect: number;
  readonly shift: readonly [number, number];
}

function placed(x: number[][], { angle, scale, shear, aspect, shift }: Placement): number[][] {
  const rotated = ([u, v]: [number, number]): [number, number] => [
    Math.cos(angle) * u - Math.sin(angle) * v,
    Math.sin(angle) * u + Math.cos(angle) * v,
  ];
  const sheared = ([u, v]: [number, number]): [number, number] => [u + shear * v, v];
  const scaled = ([u, v]: [number, number]): [number, number] => [
    u / (scale * Math.sqrt(aspect)),
    (v * Math.sqrt(aspect)) / scale,
  ];
  const pixel = (i: number, j: number): number => x[i]?.[j] ?? 0;
  return range(28).map((i) =>
    range(28).map((j) => {
      const [u, v] = scaled(sheared(rotated([j - 13.5 - shift[0], i - 13.5 - shift[1]])));
      let sum = 0;
      for (const row of range(32)) {
        for (const column of range(32)) {
          const weight = Math.max(0, 1 - Math.abs(u + 15.5 - column)) * Math.max(0, 1 - Math.abs(v + 15.5 - row));
          if (weight > 0) sum += weight * pixel(row, column);
        }
      }
      return sum;
    }),
  );
}

/** k x k to 28 x 28, corners aligned: Keys' cubic kernel with a = -3/4 in both directions, border cells repeated. */
function upsampled(cells: number[][]): number[][] {
  const k = cells.length;
  const kernel = (t: number): number => {
    const d = Math.abs(t);
    if (d <= 1) return 1.25 * d ** 3 - 2.25 * d ** 2 + 1;
    return d < 2 ? -0.75 * d ** 3 + 3.75 * d ** 2 - 6 * d + 3 : 0;
  };
  const inside = (i: number): number => Math.min(k - 1, Math.max(0, i));
  const around = range(k + 4).map((i) => i - 2);
  return range(28).map((i) =>
    range(28).map((j) => {
      const [v, u] = [(i * (k - 1)) / 27, (j * (k - 1)) / 27];
      let sum = 0;
      for (const row of around)
        for (const column of around)
          sum += kernel(v - row) * kernel(u - column) * (cells[inside(row)]?.[inside(column)] as number);
      return sum;
    }),
  );
}

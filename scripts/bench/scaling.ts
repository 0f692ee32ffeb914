/** How time and memory grow with the number of images and of classes. */
import { nets } from "secateur";
import type { Measured } from "./measure";
import { inOwnProcess } from "./worker";

export interface Growth {
  readonly name: string;
  readonly unit: "images" | "classes";
  readonly points: readonly (Measured & { readonly count: number })[];
  /** slope of log seconds against log count */
  readonly exponent: number;
}

interface Options {
  readonly repeat: number;
  readonly memoryBytes: number;
}

const QUANTITIES = ["exact diagonal", "block product, all layers"];

/** Exact diagonal and block product at doubled numbers of images (10 classes), then of classes. */
export async function growth(net: string, options: Options): Promise<readonly Growth[]> {
  const images = nets.netByName(net).input[0] > 100 ? [1, 2, 4, 8] : [50, 100, 200, 400];
  const result: Growth[] = [];
  for (const quantity of QUANTITIES) {
    const grown = async (
      unit: Growth["unit"],
      counts: readonly number[],
      sizes: (count: number) => { images: number; classes: number },
    ): Promise<void> => {
      const points: Growth["points"][number][] = [];
      for (const count of counts) {
        const { seconds, peakMiB } = await inOwnProcess({ net, quantity, ...sizes(count), ...options });
        points.push({ count, seconds, peakMiB });
      }
      result.push({ name: quantity, unit, points, exponent: slope(points) });
    };
    await grown("images", images, (count) => ({ images: count, classes: 10 }));
    await grown("classes", [5, 10, 20, 40], (count) => ({ images: images[1]!, classes: count }));
  }
  return result;
}

/** Least squares through (log count, log seconds). */
function slope(points: Growth["points"]): number {
  const [x, y] = [points.map(({ count }) => Math.log(count)), points.map(({ seconds }) => Math.log(seconds))];
  const mean = (values: readonly number[]): number => values.reduce((a, b) => a + b, 0) / values.length;
  const [mx, my] = [mean(x), mean(y)];
  const covariance = mean(x.map((v, i) => (v - mx) * (y[i]! - my)));
  return covariance / mean(x.map((v) => (v - mx) ** 2));
}

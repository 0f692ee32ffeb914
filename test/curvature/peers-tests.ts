import { readFileSync } from "node:fs";
import { join } from "node:path";
import { checkpoints, curvature, type Tree } from "secateur";
import { describe, expect, test } from "vitest";
import "../support/close-tree";
import { lossOf, peerCases } from "./peers-cases";
import { inMemoryOrder, loadPeers, losses, peerNets } from "./peers-golden";

/** @param rtol relative to the largest entry of a tensor */
export function peersTests({ rtol }: { rtol: number }): void {
  describe.each(peerNets)("$name of curvlinops, BackPACK and timm", ({ name }) => {
    const subject = loadPeers(name);
    const { golden, model, data } = subject;
    const { net } = model;

    test("has the same images, keys and shapes, made by the pinned versions", () => {
      const pinned = readFileSync(join(__dirname, "../fixtures/peers/requirements.txt"), "utf8");
      const { seed: _, ...versions } = golden.made_with;
      for (const [tool, version] of Object.entries(versions))
        expect(pinned.split("\n"), tool).toContain(`${tool}==${version}`);
      expect(golden.input).toEqual(net.input);
      const shapes = Object.entries(net.params).map(([key, spec]) => [key, checkpoints.torchShape(spec)]);
      const head = { "head.weight": [golden.classes, net.features], "head.bias": [golden.classes] };
      expect({ ...Object.fromEntries(shapes), ...head }).toEqual(golden.shapes);
      expect(Object.keys(golden.losses.mse.gnDiagonal).sort()).toEqual([...net.prunable].sort());
    });

    test("outputs", () => {
      const outputs = curvature.predict(model, data.x).dataSync();
      expect({ outputs }).toBeNearTree({ outputs: golden.outputs }, { rtol });
    });

    describe.each(losses)("%s", (loss) => {
      const numbers = golden.losses[loss];

      test.each(peerCases.filter(({ only = loss }) => only === loss))("$quantity", ({ of, expected }) => {
        expect(of(subject, lossOf[loss])).toBeNearTree(expected(subject, golden.losses[loss]), { rtol });
      });

      test("the Hessian is not the Gauss-Newton matrix here: taking one for the other would show", () => {
        const apart = (a: "hessianProduct" | "hessianDiagonal", b: "gnProduct" | "gnDiagonal"): number =>
          Math.max(
            ...net.prunable.map((key) => {
              const [h, g] = [numbers[a][key]!, numbers[b][key]!];
              return Math.max(...h.map((value, j) => Math.abs(value - g[j]!))) / Math.max(...g.map(Math.abs));
            }),
          );
        expect(apart("hessianProduct", "gnProduct")).toBeGreaterThan(0.05);
        // one layer of a ReLU net is piecewise linear: only across layers do the two differ
        if (name === "conv-net") expect(apart("hessianDiagonal", "gnDiagonal")).toBeLessThan(1e-10);
        else expect(apart("hessianDiagonal", "gnDiagonal")).toBeGreaterThan(0.05);
      });
    });

    test("diagonal of the Hessian: exact where it is promised, else within its standard error", () => {
      const { diagonal, standardError } = curvature.hessianDiag(model, data, { draws: 4, seed: 1 });
      const exact = inMemoryOrder(net, golden.losses.mse.hessianDiagonal);
      const values = (t: Tree): number[] => net.prunable.flatMap((key) => Array.from(t[key]!.dataSync()));
      const sumSquares = (list: number[]): number => list.reduce((sum, value) => sum + value ** 2, 0);
      const expected = sumSquares(values(standardError));
      if (name === "conv-net") {
        expect(diagonal).toBeNearTree(exact, { rtol });
        expect(expected).toBe(0);
        return;
      }
      const truth = net.prunable.flatMap((key) => Array.from(exact[key]!));
      const error = sumSquares(values(diagonal).map((value, j) => value - truth[j]!));
      expect(error / expected).toBeGreaterThan(1 / 3);
      expect(error / expected).toBeLessThan(3);
    });
  });
}

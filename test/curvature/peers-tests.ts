import { readFileSync } from "node:fs";
import { join } from "node:path";
import { checkpoints, curvature } from "secateur";
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
      const expected = golden.losses[loss];

      test("loss", () => {
        const value = curvature.lossValue(model, data, { loss: lossOf[loss] });
        expect({ loss: [value] }).toBeNearTree({ loss: [expected.loss] }, { rtol });
      });

      test.each(peerCases)("$quantity", ({ key, of }) => {
        expect(of(subject, lossOf[loss])).toBeNearTree(inMemoryOrder(net, expected[key]), { rtol });
      });

      test("the Hessian is not the Gauss-Newton matrix here: taking one for the other would show", () => {
        const apart = (a: keyof typeof expected, b: keyof typeof expected): number =>
          Math.max(
            ...net.prunable.map((key) => {
              const [left, right] = [a, b].map((k) => (expected[k] as Record<string, number[]>)[key]!);
              return (
                Math.max(...left!.map((value, j) => Math.abs(value - right![j]!))) / Math.max(...right!.map(Math.abs))
              );
            }),
          );
        expect(apart("hessianProduct", "gnProduct")).toBeGreaterThan(0.05);
        // one layer of a ReLU net is piecewise linear: only across layers do the two differ
        if (name === "conv-net") expect(apart("hessianDiagonal", "gnDiagonal")).toBeLessThan(1e-10);
        else expect(apart("hessianDiagonal", "gnDiagonal")).toBeGreaterThan(0.05);
      });
    });
  });
}

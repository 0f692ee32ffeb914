import type { Scorer } from "../types";
import { blockObs } from "./block-obs";
import { blockQuadratic } from "./block-quadratic";
import { diagonal } from "./diagonal";
import { hessianDiagonal } from "./hessian-diagonal";
import { hutchinson } from "./hutchinson";
import { layerwise } from "./layerwise";
import { obd } from "./lecun1989-obd";
import { snip } from "./lee2019-snip";
import { lamp } from "./lee2021-lamp";
import { magnitude } from "./magnitude";
import { taylor } from "./molchanov2019-taylor";
import { pathExclusion } from "./path-exclusion";
import { random } from "./random";
import { woodFisher } from "./singh2020-woodfisher";
import { synflow } from "./tanaka2020-synflow";
import { fisher } from "./theis2018-fisher";
import { grasp } from "./wang2020-grasp";

export interface CatalogueEntry {
  readonly name: string;
  readonly unit: string;
  /** the highest are kept */
  readonly formula: string;
  readonly from: string;
  /** what it looks at beside the weights */
  readonly looksAt: "nothing" | "images" | "images and labels";
  readonly nets: "all" | "ReLU nets";
  /** in forward passes over the images; C outputs */
  readonly cost: string;
}

/** Every criterion of the library with its default options, a row each: g the gradient, G the Gauss-Newton matrix, H the Hessian. */
export function catalogue(): CatalogueEntry[] {
  return [
    entry(random(), "uniform in (0, 1)", "control", "nothing", "0"),
    entry(magnitude(), "theta^2", "Han et al. 2015", "nothing", "0"),
    entry(
      layerwise(magnitude()),
      "rank of theta^2 in its layer / size of the layer",
      "Han et al. 2015",
      "nothing",
      "0",
    ),
    entry(lamp(), "theta^2 / sum of theta_k^2 >= theta^2 in the layer", "Lee et al. 2021", "nothing", "0"),
    entry(
      synflow(),
      "|theta| dR/d|theta|, R = sum of features of ones",
      "Tanaka et al. 2020",
      "nothing",
      "4 of one image",
      "ReLU nets",
    ),
    entry(
      pathExclusion(),
      "theta^2 d/d(theta^2) of a bound on the trace of J J^T",
      "Iurada et al. 2024",
      "images",
      "2",
      "ReLU nets",
    ),
    entry(snip(), "|theta g| / sum |theta g|", "Lee et al. 2019", "images and labels", "3"),
    entry(taylor(), "(theta g)^2", "Molchanov et al. 2019", "images and labels", "3"),
    entry(
      taylor({ order: 2 }),
      "(theta g - theta (H theta) / 2)^2",
      "Molchanov et al. 2019",
      "images and labels",
      "11",
    ),
    entry(grasp(), "theta (H g)", "Wang et al. 2020", "images and labels", "11"),
    entry(
      fisher(),
      "theta^2 F_jj / 2, F = mean of g_n g_n^T over images",
      "Theis et al. 2018",
      "images and labels",
      "3",
    ),
    entry(diagonal(), "theta^2 G_jj", "arXiv 2509.24066", "images", "1 + 2 C"),
    entry(obd(), "theta^2 G_jj / 2", "LeCun et al. 1989", "images", "1 + 2 C"),
    entry(
      obd({ firstOrder: true }),
      "theta^2 G_jj / 2 - theta g",
      "LeCun et al. 1989, with the term it drops",
      "images and labels",
      "4 + 2 C",
    ),
    entry(
      hessianDiagonal(),
      "theta^2 H_jj",
      "arXiv 2509.24066",
      "images and labels",
      "1 + 2 C, for other than ReLU nets with the estimate of H - G",
    ),
    entry(hutchinson(), "theta^2 mean of z (H z), z = +-1", "Hutchinson 1990", "images and labels", "8 a draw"),
    entry(blockQuadratic(), "|theta (G_BB theta_B)|, B a layer", "arXiv 2509.24066, one reading", "images", "2 + C"),
    entry(
      blockObs(),
      "theta^2 / (2 [(G_BB + lambda)^-1]_jj)",
      "Hassibi, Stork 1992; arXiv 2509.24066, one reading",
      "images",
      "2 + 3 C and the blocks",
    ),
    entry(
      woodFisher(),
      "theta^2 / (2 [(F_BB + lambda)^-1]_jj)",
      "Singh, Alistarh 2020",
      "images and labels",
      "6 and the blocks",
    ),
  ];
}

function entry(
  { name, unit, usesData }: Scorer,
  formula: string,
  from: string,
  looksAt: CatalogueEntry["looksAt"],
  cost: string,
  nets: CatalogueEntry["nets"] = "all",
): CatalogueEntry {
  if (usesData === (looksAt === "nothing")) throw new Error(`catalogue: ${name} ${usesData ? "uses" : "uses no"} data`);
  return { name, unit, formula, from, looksAt, nets, cost };
}

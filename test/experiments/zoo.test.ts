import { mkdirSync, readFileSync, rmSync, symlinkSync, truncateSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { backend, checkpoints, experiments, nets, tree } from "secateur";
import { describe, expect, test } from "vitest";
import { owned } from "../support/owned";
import { tinyZoo } from "../support/tiny-zoo";

const { loadBackbone, modelCard, zoo } = experiments;

const own = tinyZoo();
const good = own.add("good", { seed: 4 });
own.add("also-good", { seed: 5 });

test("zoo lists the cards, sorted; checkpoints and other files are none", () => {
  writeFileSync(join(own.folder, "README.md"), "# Zoo\n");
  expect(zoo()).toEqual(["also-good", "good"]);
});

test("a card without its file is known, but not in the zoo; loading says what makes the file", () => {
  own.writeCard("unshipped", {
    ...good,
    name: "unshipped",
    file: "unshipped.safetensors",
    command: "npm run pretrain -- x",
  });
  expect(zoo()).toEqual(["also-good", "good"]);
  expect(modelCard("unshipped").net).toBe("rs4x1");
  expect(() => loadBackbone("unshipped")).toThrow(/unshipped\.safetensors is not there; .*: npm run pretrain -- x/);
  rmSync(join(own.folder, "unshipped.json"));
});

test("cards of pre-trained backbones are whole; their histories are points of a curve", () => {
  const more = {
    parameters: 9,
    accuracyOfHeads: { validation: {}, test: {} },
    seconds: 5,
    command: "npm run pretrain -- x",
    history: [
      { epoch: 1, evaluation: { pretraining: 20, far: 50 } },
      { epoch: 2, evaluation: {} },
    ],
  };
  expect(() => experiments.pretrainedCards()).toThrow(/also-good\.json: .* must name parameters/);
  own.writeCard("also-good", { ...modelCard("also-good"), ...more });
  own.writeCard("good", { ...good, ...more, history: [] });
  const cards = experiments.pretrainedCards();
  expect(cards.map(({ name }) => name)).toEqual(["also-good", "good"]);
  expect(experiments.headHistory(cards)).toEqual([
    { step: 1, value: 20, series: "also-good", quantity: "heads, pretraining (%)" },
    { step: 1, value: 50, series: "also-good", quantity: "heads, far (%)" },
  ]);
  own.writeCard("good", good);
});

describe("modelCard", () => {
  test("is the card, whole", () => {
    own.writeCard("good", { ...good, licence: "Apache-2.0" });
    expect(modelCard("good")).toEqual({ ...good, licence: "Apache-2.0" });
    own.writeCard("good", good);
  });

  test.each(["unknown", "", "good.json", "../good", "sub/good", "..", ".", "good\0", "/etc/hostname"])(
    "refuses '%s', and says what there is",
    (name) => {
      expect(() => modelCard(name)).toThrow(`model must be one of also-good, good, got '${name}'`);
      expect(() => loadBackbone(name)).toThrow(RangeError);
    },
  );

  const cases: [string, unknown, RegExp][] = [
    ["no JSON", '{"name": "bad"', /must be JSON/],
    ["null", "null", /must name name, file, sha256/],
    ["a list", "[]", /must name name, file, sha256/],
    ["a text", '"good"', /must name name, file, sha256/],
    ...["name", "file", "sha256", "net", "pretraining", "settings"].map((key): [string, unknown, RegExp] => [
      `no ${key}`,
      Object.fromEntries(Object.entries(good).filter(([k]) => k !== key)),
      /must name name, file, sha256/,
    ]),
    ["a number for a name", { ...good, net: 4 }, /must name name, file, sha256/],
    ["a seed that is no integer", { ...good, settings: { seed: "4" } }, /must name .* settings.seed/],
    ["everything in a prototype", `{"__proto__":${JSON.stringify(good)}}`, /must name name, file, sha256/],
    ["another card's name", good, /name must be 'bad', got 'good'/],
  ];
  test.each(cases)("refuses a card with %s, naming its file", (_, card, rule) => {
    own.writeCard("bad", card);
    const path = join(own.folder, "bad.json");
    for (const read of [modelCard, loadBackbone]) {
      expect(() => read("bad")).toThrow(rule);
      expect(() => read("bad")).toThrow(`${path}: `);
    }
    rmSync(path);
  });

  test.each([
    "../good.safetensors",
    "sub/good.safetensors",
    "/etc/hostname",
    "..",
    ".",
    "",
    "good.json",
    "..\\good.safetensors",
    "good.safetensors\0",
    "good.safetensors/",
  ])("refuses the file '%s': it must lie beside the card", (file) => {
    mkdirSync(join(own.folder, "sub"), { recursive: true });
    own.writeCard("bad", { ...good, name: "bad", file });
    expect(() => loadBackbone("bad")).toThrow(
      /bad\.json: file must be the name of a \.safetensors file beside the card/,
    );
    rmSync(join(own.folder, "bad.json"));
  });
});

describe("loadBackbone", () => {
  test("gives the parameters of the file, in tensors of the caller's own, and no head", () => {
    const { card, model } = loadBackbone("good");
    const expected = nets.initialise(nets.netByName("rs4x1"), 4);
    expect(card).toEqual(good);
    expect(model.net).toEqual(nets.netByName("rs4x1"));
    expect(model.head).toBeUndefined();
    expect(checkpoints.paramsHash(model.net, model.params)).toBe(checkpoints.paramsHash(model.net, expected));
    tree.disposeTree(owned(() => loadBackbone("good").model.params));
    backend.tf.dispose([model.params, expected] as never);
  });

  const refused = (rule: RegExp): void => {
    const before = backend.tf.memory().numTensors;
    expect(() => loadBackbone("changed")).toThrow(rule);
    expect(() => loadBackbone("changed")).toThrow(join(own.folder, "changed.safetensors"));
    expect(backend.tf.memory().numTensors).toBe(before);
  };
  const path = join(own.folder, "changed.safetensors");

  test("refuses a file that is not the one of the card: one bit, truncated, another one, none", () => {
    own.add("changed");
    const bytes = readFileSync(path);
    bytes[bytes.length - 1]! ^= 1;
    writeFileSync(path, bytes);
    refused(/SHA-256 must be [0-9a-f]{64} \(model card\), got [0-9a-f]{64}/);
    truncateSync(path, 1000);
    refused(/SHA-256 must be/);
    rmSync(path);
    refused(/is not there$/);
    symlinkSync(join(own.folder, "good.safetensors"), path);
    refused(/SHA-256 must be/);
    rmSync(path);
  });

  test("refuses a file that does not fit the card's net, and nets that there are none of", () => {
    const card = own.add("changed", { net: "rs4x1" });
    own.writeCard("changed", { ...card, net: "rs8x1" });
    refused(/keys do not fit rs8x1/);
    own.writeCard("changed", { ...card, net: "vgg16" });
    expect(() => loadBackbone("changed")).toThrow(/net must be resnet18, resnet50, .* got 'vgg16'/);
  });
});

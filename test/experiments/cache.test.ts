import { execFileSync } from "node:child_process";
import { createHash } from "node:crypto";
import { closeSync, existsSync, openSync, readdirSync, readFileSync, readSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import fc from "fast-check";
import { datasets, experiments } from "secateur";
import { afterAll, beforeEach, describe, expect, test } from "vitest";
import { temporaryFolder } from "../support/temporary-folder";

const { cached, commit, resultsFolder, settingsHash } = experiments;

const root = temporaryFolder();
const before = process.env.SECATEUR_RESULTS;
let folder = "";
let count = 0;
beforeEach(() => {
  folder = join(root, String(count++), "results");
  process.env.SECATEUR_RESULTS = folder;
});
afterAll(() => {
  if (before === undefined) delete process.env.SECATEUR_RESULTS;
  else process.env.SECATEUR_RESULTS = before;
});

const settings = {
  checkpoint: "07f574038777",
  protocol: "clean",
  perClass: 20,
  grid: [0.64, 0.4096],
  score: "diagonal",
  rounds: 1,
  source: "hebrew",
  extra: { none: null, yes: true },
};

describe("settingsHash", () => {
  test("is frozen: results that are there are found again", () => {
    expect(settingsHash(settings)).toBe("237dad1f826f");
  });

  test("is the SHA-256 of JSON with sorted keys", () => {
    const json =
      '{"schema":2,"settings":{"checkpoint":"07f574038777","extra":{"none":null,"yes":true},"grid":[0.64,0.4096],' +
      '"perClass":20,"protocol":"clean","rounds":1,"score":"diagonal","source":"hebrew"}}';
    expect(settingsHash(settings)).toBe(createHash("sha256").update(json).digest("hex").slice(0, 12));
  });

  test("the order of keys does not matter, every value does", () => {
    const reversed = Object.fromEntries(Object.entries(settings).reverse());
    expect(settingsHash(reversed)).toBe(settingsHash(settings));
    const changes = [
      { perClass: 21 },
      { grid: [0.4096, 0.64] },
      { source: "hebreW" },
      { extra: { none: null } },
      { draw: 0 },
    ];
    const hashes = changes.map((change) => settingsHash({ ...settings, ...change }));
    expect(new Set([...hashes, settingsHash(settings)]).size).toBe(changes.length + 1);
    fc.assert(
      fc.property(fc.jsonValue(), fc.jsonValue(), (a, b) => {
        expect(settingsHash(JSON.parse(JSON.stringify(a)))).toBe(settingsHash(a));
        if (JSON.stringify(a) !== JSON.stringify(b) && typeof a !== "object")
          expect(settingsHash(a)).not.toBe(settingsHash(b));
      }),
    );
  });
});

test("resultsFolder: SECATEUR_RESULTS, or build/results beside the data", () => {
  expect(resultsFolder()).toBe(folder);
  delete process.env.SECATEUR_RESULTS;
  expect(resultsFolder()).toBe(join(datasets.dataFolder(), "..", "build", "results"));
});

test("commit: HEAD, with + when the library's files differ; unknown outside git", () => {
  let head = "unknown";
  try {
    head = execFileSync("git", ["rev-parse", "--short=12", "HEAD"], {
      cwd: __dirname,
      encoding: "utf8",
      stdio: ["ignore", "pipe", "ignore"],
    }).trim();
  } catch {}
  expect([head, `${head}+`]).toContain(commit());
  expect(commit()).toMatch(/^([0-9a-f]{12}\+?|unknown)$/);
});

describe("cached", () => {
  const file = () => join(folder, `unit-${settingsHash(settings)}.json`);
  const value = { points: [{ keep: 0.64, accuracy: { hebrew: 91.5 } }] };

  test("computes once, then reads the file", async () => {
    let computed = 0;
    const run = (options?: { fresh?: boolean }) =>
      cached("unit", settings, async () => ({ ...value, computed: ++computed }), options);
    const first = await run();
    const second = await run();
    expect(first).toEqual({
      value: { ...value, computed: 1 },
      seconds: expect.any(Number),
      commit: commit(),
      fromFile: false,
    });
    expect(second).toEqual({ ...first, fromFile: true });
    expect(readdirSync(folder)).toEqual([`unit-${settingsHash(settings)}.json`]);
    expect(JSON.parse(readFileSync(file(), "utf8"))).toMatchObject({ settings, value: first.value });
    expect((await run({ fresh: true })).value.computed).toBe(2);
    expect(await run()).toMatchObject({ value: { computed: 2 }, fromFile: true });
  });

  test("other settings and other names have files of their own", async () => {
    const run = (name: string, s: unknown) => cached(name, s, async () => [name, s]);
    for (let i = 0; i < 2; i++) {
      expect((await run("a", settings)).value).toEqual(["a", settings]);
      expect((await run("b", settings)).value).toEqual(["b", settings]);
      expect((await run("a", { rounds: 9 })).value).toEqual(["a", { rounds: 9 }]);
    }
    expect(readdirSync(folder)).toHaveLength(3);
  });

  test("there is no file before the work is done, and none when it fails", async () => {
    await cached("unit", settings, async () => {
      expect(existsSync(file())).toBe(false);
      return value;
    });
    const fails = cached("fails", settings, async () => {
      throw new Error("interrupted");
    });
    await expect(fails).rejects.toThrow("interrupted");
    expect(readdirSync(folder)).toEqual([`unit-${settingsHash(settings)}.json`]);
  });

  test("a file is replaced whole: who reads the old one reads it to its end", async () => {
    await cached("unit", settings, async () => "old");
    const whole = readFileSync(file());
    const fd = openSync(file(), "r");
    await cached("unit", settings, async () => "new and longer than the old one", { fresh: true });
    const read = Buffer.alloc(whole.length + 100);
    const length = readSync(fd, read, 0, read.length, 0);
    closeSync(fd);
    expect(read.subarray(0, length).equals(whole)).toBe(true);
    expect(readdirSync(folder)).toHaveLength(1);
  });

  test("gives at once what the file will give: JSON", async () => {
    const odd = { nan: Number.NaN, bytes: Float32Array.of(1, 2), none: undefined };
    const first = await cached("unit", settings, async () => odd as unknown);
    expect(first.value).toEqual({ nan: null, bytes: { 0: 1, 1: 2 } });
    expect((await cached("unit", settings, async () => odd as unknown)).value).toEqual(first.value);
  });

  test.each(["../out", "a/b", "", "a b", "/abs"])("refuses the name '%s', before the work", async (name) => {
    await expect(cached(name, settings, async () => expect.fail("no work expected"))).rejects.toThrow(
      /name must be letters, digits/,
    );
    expect(existsSync(folder)).toBe(false);
  });

  describe("refuses a file that is not as it was written, naming it, and computes nothing", () => {
    const refused = async (change: (text: string) => string, rule: RegExp): Promise<void> => {
      await cached("unit", settings, async () => value, { fresh: true });
      const text = change(readFileSync(file(), "utf8"));
      writeFileSync(file(), text);
      const again = cached("unit", settings, async () => expect.fail("no work expected"));
      const error = await again.then(
        () => undefined,
        (e: Error) => e,
      );
      expect(error?.message).toContain(`${file()}: `);
      expect(error?.message).toMatch(rule);
      expect(error?.message).toContain("remove it to compute again");
      expect(readFileSync(file(), "utf8")).toBe(text);
    };
    const edited = (edit: (stored: Record<string, unknown>) => unknown) => (text: string) =>
      JSON.stringify(edit(JSON.parse(text)));

    test.each<[string, (text: string) => string, RegExp]>([
      ["empty", () => "", /must be JSON/],
      ["truncated", (text) => text.slice(0, -30), /must be JSON/],
      ["null", () => "null", /must be an object/],
      ["a number", () => "3", /must be an object/],
      ["a list", () => "[]", /must be an object/],
      ["a text", () => '"value"', /must be an object/],
      ["an empty object", () => "{}", /must be an object with settings and value/],
      [
        "values in a prototype",
        () => '{"__proto__":{"settings":{},"value":1,"seconds":1,"commit":"x"}}',
        /must be an object/,
      ],
      ["no value", edited(({ value: _, ...rest }) => rest), /must be an object with settings and value/],
      ["no digest", edited(({ sha256: _, ...rest }) => rest), /SHA-256/],
      ["other settings", edited((s) => ({ ...s, settings: { ...settings, rounds: 9 } })), /result of other settings/],
      ["no settings", edited(({ settings: _, ...rest }) => rest), /result of other settings/],
      ["another number", (text) => text.replace("91.5", "91.6"), /SHA-256 of the result .*: changed file/],
      ["another value", edited((s) => ({ ...s, value: { points: "none" } })), /changed file/],
      ["other seconds", edited((s) => ({ ...s, seconds: "long" })), /changed file/],
      ["another commit", edited((s) => ({ ...s, commit: 7 })), /changed file/],
    ])("%s", (_, change, rule) => refused(change, rule));

    test("one bit changed, wherever it is", async () => {
      await cached("unit", settings, async () => value);
      const good = readFileSync(file());
      await fc.assert(
        fc.asyncProperty(fc.nat(good.length - 2), fc.nat(7), async (at, bit) => {
          const bytes = Buffer.from(good);
          bytes[at]! ^= 1 << bit;
          writeFileSync(file(), bytes);
          await expect(cached("unit", settings, async () => expect.fail("no work expected"))).rejects.toThrow(file());
        }),
        { numRuns: 80, seed: 1, examples: [[0, 0]] },
      );
    });
  });
});

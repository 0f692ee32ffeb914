#!/usr/bin/env node
// Runs notebooks with tslab's own converter and executor: no Python, no Jupyter, one child process a notebook, in the folder of
// the notebook. Type errors, exceptions, rejections that nobody awaits, exits and time-outs fail.
//   node scripts/run-notebooks.cjs [options] notebooks/*.ipynb
//     --write         stores the outputs in place, in normal form
//     --out=DIR       stores the executed notebooks in DIR instead, and verdict tables too (SECATEUR_RUN_DIR)
//     --timeout=S     seconds for the cells of one notebook, default 900
//     --heap=MB       limit of the JavaScript heap of one notebook
//     --cell-times    prints the seconds of every cell
const { fork } = require("node:child_process");
const { basename, dirname, join, resolve } = require("node:path");
const { codeCells, readArguments, readNotebook, writeNotebook } = require("./notebook-file.cjs");

const secondsToStart = 120;
const secondsToDrain = 5;

if (process.env.SECATEUR_NOTEBOOK) runHere(process.env.SECATEUR_NOTEBOOK).catch((error) => endHere(describe(error)));
else
  runAll().catch((error) => {
    console.error(error.message);
    process.exitCode = 2;
  });

async function runAll() {
  const { files, options } = readArguments(["--write", "--out=", "--timeout=", "--heap=", "--cell-times"]);
  const timeout = Number(options.timeout ?? 900);
  if (!(timeout > 0)) throw new Error(`--timeout must be seconds > 0, got ${options.timeout}`);
  if (options.heap !== undefined && !/^[1-9]\d*$/.test(options.heap))
    throw new Error(`--heap must be megabytes, got ${options.heap}`);
  if (files.length === 0)
    throw new Error(
      "usage: run-notebooks.cjs [--write] [--out=DIR] [--timeout=S] [--heap=MB] [--cell-times] NOTEBOOK...",
    );
  for (const file of files) readNotebook(file);
  let passed = 0;
  for (const file of files) if (await runOne(file, { ...options, timeout })) passed++;
  console.log(`${passed} passed, ${files.length - passed} failed`);
  process.exitCode = passed === files.length ? 0 : 1;
}

/** Runs one notebook in a child, shows how far it is, stores the outputs. @returns {Promise<boolean>} passed */
function runOne(file, options) {
  const name = basename(file);
  const out = options.out ? resolve(options.out) : undefined;
  const { FORCE_COLOR: _colour, ...env } = process.env;
  const child = fork(__filename, {
    cwd: dirname(resolve(file)),
    env: {
      ...env,
      NO_COLOR: "1",
      SECATEUR_NOTEBOOK: resolve(file),
      ...(out ? { SECATEUR_RUN_DIR: out } : {}),
    },
    execArgv: ["--enable-source-maps", ...(options.heap ? [`--max-old-space-size=${options.heap}`] : [])],
    stdio: ["ignore", "inherit", "inherit", "ipc"],
    serialization: "advanced",
  });
  const status = statusLine(name);
  const began = Date.now();
  let at = { number: 0, total: 0, source: "" };
  let failure;
  let notebook;
  const stop = () => child.kill("SIGKILL");
  const arm = (seconds) =>
    setTimeout(() => {
      failure = `no end after ${seconds} s`;
      stop();
    }, seconds * 1000);
  let timer = arm(secondsToStart);
  process.once("exit", stop);
  child.on("message", (message) => {
    if (message.kind === "cell") {
      if (at.number === 0) {
        clearTimeout(timer);
        timer = arm(options.timeout);
      }
      at = message;
      status.cell(at);
    }
    if (message.kind === "progress") status.progress(message);
    if (message.kind === "seconds" && options["cell-times"])
      status.print(`  cell ${message.number} ${message.seconds.toFixed(2)} s`);
    if (message.kind === "failure") failure = message.text;
    if (message.kind === "notebook") notebook = message.notebook;
  });
  return new Promise((done) => {
    child.on("close", (code, signal) => {
      clearTimeout(timer);
      process.off("exit", stop);
      if (!failure && (code !== 0 || !notebook))
        failure = `the process ended ${signal ? `by ${signal}` : `with status ${code}`} before the notebook did`;
      if (failure) {
        status.print(
          `FAIL ${name} cell ${at.number}\n--- cell\n${at.source.trimEnd()}\n--- error\n${failure.trimEnd()}`,
        );
        return done(false);
      }
      if (options.write) writeNotebook(file, notebook);
      if (out) writeNotebook(join(out, name), notebook);
      status.print(`ok ${name} (${at.total} cells, ${((Date.now() - began) / 1000).toFixed(1)} s)`);
      done(true);
    });
  });
}

/** One line that is overwritten on a terminal; into a pipe the progress of long loops, a line each 10 %. */
function statusLine(name) {
  const live = process.stdout.isTTY;
  let cell = "";
  let tenths = new Map();
  const draw = (text) => live && process.stdout.write(`\r${text.slice(0, (process.stdout.columns ?? 80) - 1)}\x1b[K`);
  return {
    cell({ number, total }) {
      cell = `${name} cell ${number}/${total}`;
      tenths = new Map();
      draw(cell);
    },
    progress({ id, done, total, label, note, left }) {
      const tenth = Math.floor((10 * done) / total + 1e-9);
      const text = [`${cell} ${label}`.trim(), `${done}/${total}`, note, left].filter(Boolean).join(", ");
      draw(text);
      if (!live && tenth > (tenths.get(id) ?? 0))
        console.log(
          `  ${[`${label} ${10 * tenth} %`.trim(), `${done}/${total}`, note, left].filter(Boolean).join(", ")}`,
        );
      tenths.set(id, Math.max(tenth, tenths.get(id) ?? 0));
    },
    print(text) {
      draw("");
      console.log(text);
    },
  };
}

/** The child: executes the cells, collects their outputs and hands the notebook to the parent. */
async function runHere(file) {
  const dist = dirname(require.resolve("tslab", { paths: [process.cwd()] }));
  const kernel = require(join(dist, "jupyter.js"));
  const converter = require(join(dist, "converter.js")).createConverter({ isJS: false, isBrowser: false });
  const { createExecutor } = require(join(dist, "executor.js"));
  const executor = createExecutor(process.cwd(), { node: converter }, { log: console.log, error: console.error });
  const notebook = readNotebook(file);
  const cells = codeCells(notebook);
  for (const { cell } of cells) Object.assign(cell, { outputs: [], execution_count: null });

  let outputs = [];
  const displays = new Map();
  kernel.lastWriteDisplayData = ({ data, metadata, transient }, update) => {
    const id = transient?.display_id;
    if (transient?.progress) void send({ kind: "progress", id, ...transient.progress });
    if (update && displays.has(id)) return void Object.assign(displays.get(id), { data, metadata: metadata ?? {} });
    const output = { output_type: "display_data", data: { ...data }, metadata: metadata ?? {} };
    if (id) displays.set(id, output);
    outputs.push(output);
  };
  const collect = (name) => (bytes) => {
    const text = typeof bytes === "string" ? bytes : Buffer.from(bytes).toString();
    const last = outputs.at(-1);
    if (last?.output_type === "stream" && last.name === name) last.text += text;
    else outputs.push({ output_type: "stream", name, text });
    return true;
  };
  const lost = [];
  process.on("unhandledRejection", (error) =>
    lost.push(`a promise that nobody awaits was rejected: ${describe(error)}`),
  );
  process.on("uncaughtException", (error) => lost.push(`an exception outside the cell: ${describe(error)}`));

  process.on("exit", exited);
  process.stdout.write = collect("stdout");
  process.stderr.write = collect("stderr");
  let count = 0;
  for (const { cell, number, source } of cells) {
    await send({ kind: "cell", number, total: cells.length, source });
    if (!source.trim()) continue;
    outputs = cell.outputs;
    cell.execution_count = ++count;
    const began = Date.now();
    const ok = await executor.execute(source);
    await new Promise((turn) => setTimeout(turn));
    await send({ kind: "seconds", number, seconds: (Date.now() - began) / 1000 });
    const errors = cell.outputs.filter((output) => output.name === "stderr").map((output) => output.text);
    if (!ok || lost.length > 0) await endHere([...errors, ...lost].join("\n") || "the cell failed without a message");
  }
  converter.close(); // its file watchers would keep the process alive
  await drained();
  if (lost.length > 0) await endHere(`after the last cell: ${lost.join("\n")}`);
  process.off("exit", exited);
  await send({ kind: "notebook", notebook });
  process.exit(0);
}

/** Tells the parent why the notebook failed, and ends. */
async function endHere(text) {
  process.off("exit", exited);
  await send({ kind: "failure", text });
  process.exit(1);
}

function exited(code) {
  process.send({ kind: "failure", text: `process.exit(${code}) was called` });
  process.exitCode = 3;
}

function send(message) {
  return new Promise((done) => process.send(message, undefined, {}, done));
}

/** Waits until nothing is left to do, at most a few seconds: a promise that was not awaited may still be rejected. */
function drained() {
  process.channel.unref();
  return new Promise((done) => {
    process.once("beforeExit", done);
    setTimeout(done, secondsToDrain * 1000).unref();
  });
}

function describe(error) {
  return error instanceof Error ? error.stack : String(error);
}

#!/usr/bin/env node
// Executed notebooks -> pages that open from a file, offline: Markdown, formulas, tables, live figures out of ONE shared copy of
// plotly (the PNG stays where scripts are off).
//   node scripts/build-site.mjs OUT [NOTEBOOK...]      default: all; a notebook executed into build/run goes before the committed one
import { copyFileSync, existsSync, mkdirSync, readdirSync, readFileSync, renameSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { basename, dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import katex from "katex";
import { Marked } from "marked";
import files from "./notebook-file.cjs";

const { allNotebooks, readArguments, readNotebook, textOf } = files;
const root = join(dirname(fileURLToPath(import.meta.url)), "..");
const require = createRequire(import.meta.url);
const plotlyMime = "application/vnd.plotly.v1+json";

const markdown = new Marked({
  extensions: [
    formula("block", /^\$\$([\s\S]+?)\$\$/),
    formula("inline", /^\$(?![\s$])((?:\\.|[^\\$\n])+?)(?<!\s)\$(?!\d)/),
  ],
  walkTokens(token) {
    // links between notebooks lead to their pages
    if (token.type === "link") token.href = token.href.replace(/^(?![a-z]+:|\/)([\w./-]+)\.ipynb(?=$|#)/i, "$1.html");
  },
  renderer: {
    code: ({ text, lang }) =>
      `<pre class="shown"><code>${/^(ts|typescript|js)$/.test(lang ?? "") ? highlight(text) : escapeHtml(text)}</code></pre>\n`,
  },
});

function main() {
  const [out, ...given] = readArguments([]).files;
  if (!out) throw new Error("usage: build-site.mjs OUT [NOTEBOOK...]");
  const notebooks = given.length > 0 ? given : allNotebooks().map(freshest);
  if (notebooks.length === 0) throw new Error("notebooks/ has no notebook");
  const pages = notebooks.map(readPage);
  copyAssets(join(out, "assets"));
  for (const [i, page] of pages.entries()) write(join(out, `${page.name}.html`), pageHtml(page, pages, i));
  write(join(out, "index.html"), indexHtml(pages));
  console.log(`${pages.length} page(s) in ${out}, begin with ${join(out, "index.html")}`);
}

function freshest(committed) {
  const fresh = join(root, "build/run", basename(committed));
  return existsSync(fresh) ? fresh : committed;
}

function readPage(file) {
  const notebook = readNotebook(file);
  const text = notebook.cells
    .filter((cell) => cell.cell_type === "markdown")
    .map((cell) => textOf(cell.source))
    .join("\n\n");
  const name = basename(file, ".ipynb");
  const verdict = join(dirname(file), `${name}.verdict.json`);
  return {
    name,
    notebook,
    title: /^# (.+)$/m.exec(text)?.[1].trim() ?? name,
    verdicts: existsSync(verdict) ? JSON.parse(readFileSync(verdict, "utf8")).verdicts : [],
  };
}

// ---- pages

function pageHtml(page, pages, i) {
  const cells = page.notebook.cells.map((cell, k) => cellHtml(cell, `${page.name}-${k}`));
  const link = (other, label) =>
    other ? `<a href="${other.name}.html">${label(inline(other.title))}</a>` : "<span></span>";
  const steps = `<nav class="steps">${link(pages[i - 1], (title) => `&larr; ${title}`)}${link(pages[i + 1], (title) => `${title} &rarr;`)}</nav>`;
  const hasFigure = page.notebook.cells.some((cell) => cell.outputs?.some((output) => output.data?.[plotlyMime]));
  return html(
    page.title,
    `<header><a href="index.html">Contents</a></header>\n<main>\n${cells.join("\n")}\n${steps}\n</main>`,
    hasFigure,
  );
}

function indexHtml(pages) {
  const items = pages.map(({ name, title, verdicts }) => {
    const marks = verdicts.map(
      ({ claim, verdict }) => `<li><b class="${verdict}">${verdict}</b> ${escapeHtml(claim)}</li>`,
    );
    return `<li><a href="${name}.html">${inline(title)}</a>${marks.length ? `<ul class="verdicts">${marks.join("")}</ul>` : ""}</li>`;
  });
  return html(
    "Secateur: notebooks",
    `<main><h1>Secateur: notebooks</h1>\n<ol start="0" class="contents">\n${items.join("\n")}\n</ol></main>`,
    false,
  );
}

function html(title, body, live) {
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>${escapeHtml(title.replace(/[*_`$]/g, ""))}</title>
<link rel="stylesheet" href="assets/katex/katex.min.css">
<link rel="stylesheet" href="assets/page.css">
${live ? '<script src="assets/plotly-cartesian.min.js" defer></script>\n<script src="assets/figures.js" defer></script>' : ""}
</head>
<body>
${body}
</body>
</html>
`;
}

function cellHtml(cell, id) {
  const source = textOf(cell.source);
  if (cell.cell_type === "markdown") return `<section class="text">\n${markdown.parse(source)}</section>`;
  if (cell.cell_type !== "code" || (!source.trim() && !cell.outputs?.length)) return "";
  const tags = cell.metadata?.tags ?? [];
  const code = `<pre class="code"><code>${highlight(source)}</code></pre>`;
  const shown = tags.includes("hide-input") ? `<details><summary>code</summary>${code}</details>` : code;
  const outputs = (cell.outputs ?? []).map((output, k) => outputHtml(output, `${id}-${k}`)).filter(Boolean);
  return `<section class="cell">\n${shown}\n${outputs.map((text) => `<div class="output">${text}</div>`).join("\n")}\n</section>`;
}

/** The richest form that a page can show. */
function outputHtml(output, id) {
  if (output.output_type === "stream")
    return `<pre class="${output.name === "stderr" ? "stderr" : "stdout"}">${escapeHtml(textOf(output.text))}</pre>`;
  const data = output.data ?? {};
  const size = output.metadata?.["image/png"] ?? {};
  const attributes = ["width", "height"]
    .filter((key) => Number.isInteger(size[key]))
    .map((key) => ` ${key}="${size[key]}"`);
  const alt = escapeHtml(textOf(data["text/plain"]));
  const png = data["image/png"]
    ? `<img alt="${alt}" src="data:image/png;base64,${textOf(data["image/png"]).replace(/\s/g, "")}"${attributes.join("")}>`
    : "";
  if (data[plotlyMime]) {
    const { data: traces, layout } = data[plotlyMime];
    const json = JSON.stringify({ data: traces, layout }).replaceAll("<", "\\u003c");
    return `<div class="figure" id="${id}">${png}<script type="application/json">${json}</script></div>`;
  }
  if (png) return png;
  if (data["text/html"]) return textOf(data["text/html"]).replace(/<script[\s\S]*?<\/script>/gi, "");
  if (data["text/markdown"]) return `<div class="text">${markdown.parse(textOf(data["text/markdown"]))}</div>`;
  return data["text/plain"] ? `<pre class="stdout">${escapeHtml(textOf(data["text/plain"]))}</pre>` : "";
}

// ---- text

function formula(level, pattern) {
  const display = level === "block";
  return {
    name: `formula-${level}`,
    level: "inline",
    start: (source) => source.indexOf(display ? "$$" : "$"),
    tokenizer(source) {
      const [raw, tex] = pattern.exec(source) ?? [];
      return raw === undefined ? undefined : { type: `formula-${level}`, raw, tex };
    },
    renderer: ({ tex }) => katex.renderToString(tex.trim(), { displayMode: display, throwOnError: false }),
  };
}

function inline(text) {
  return markdown.parseInline(text);
}

const words =
  "as async await break case catch class const continue default delete do else export extends false finally for from function if import in instanceof interface let new null of return satisfies static switch this throw true try type typeof undefined void while yield";
const token = new RegExp(
  `(?<comment>//[^\\n]*|/\\*[\\s\\S]*?\\*/)|(?<string>"(?:\\\\.|[^"\\\\\\n])*"|'(?:\\\\.|[^'\\\\\\n])*'|\`(?:\\\\.|[^\`\\\\])*\`)|(?<number>\\b\\d[\\w.]*)|(?<keyword>\\b(?:${words.replaceAll(" ", "|")})\\b)`,
  "g",
);

/** TypeScript with its comments, strings, numbers and keywords in spans. */
function highlight(code) {
  let at = 0;
  let out = "";
  for (const match of code.matchAll(token)) {
    const [kind] = Object.entries(match.groups).find(([, text]) => text !== undefined);
    out += `${escapeHtml(code.slice(at, match.index))}<span class="${kind}">${escapeHtml(match[0])}</span>`;
    at = match.index + match[0].length;
  }
  return out + escapeHtml(code.slice(at));
}

function escapeHtml(text) {
  return text.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;").replaceAll('"', "&quot;");
}

// ---- files

function copyAssets(folder) {
  const katexFolder = dirname(require.resolve("katex/dist/katex.min.css"));
  const fonts = readdirSync(join(katexFolder, "fonts")).filter((name) => name.endsWith(".woff2"));
  mkdirSync(join(folder, "katex/fonts"), { recursive: true });
  copyFileSync(require.resolve("plotly.js/dist/plotly-cartesian.min.js"), join(folder, "plotly-cartesian.min.js"));
  copyFileSync(join(katexFolder, "katex.min.css"), join(folder, "katex/katex.min.css"));
  for (const name of fonts) copyFileSync(join(katexFolder, "fonts", name), join(folder, "katex/fonts", name));
  for (const name of ["page.css", "figures.js"])
    copyFileSync(join(root, "scripts/page-assets", name), join(folder, name));
}

function write(file, text) {
  mkdirSync(dirname(file), { recursive: true });
  writeFileSync(`${file}.part`, text);
  renameSync(`${file}.part`, file);
}

try {
  main();
} catch (error) {
  console.error(error.message);
  process.exitCode = 2;
}

// `npm start`: the set-up, then the two predictions computed afresh, their verdict tables and where everything lies.
import { readdirSync, readFileSync, rmSync } from "node:fs";
import { filesBelow } from "./setup/files.mjs";
import { inRoot } from "./setup/paths.mjs";
import { run, runToEnd } from "./setup/run.mjs";
import { main, setup } from "./setup.mjs";

const outFolder = "build/run";
const siteFolder = "build/site";

await main(async () => {
  await setup();
  const notebooks = ["03", "04"].map(notebookNumber);
  for (const file of verdictFiles()) rmSync(file);
  console.log(`Main job: ${notebooks.join(" and ")}. Results already computed with these settings are used again.\n`);
  const start = performance.now();
  const { status } = await runToEnd(process.execPath, [
    "scripts/run-notebooks.cjs",
    `--out=${outFolder}`,
    ...notebooks,
  ]);
  if (status === 0) await run(process.execPath, ["scripts/build-site.mjs", siteFolder]);
  for (const file of verdictFiles()) console.log(`\n${readFileSync(file, "utf8").trimEnd()}`);
  if (status !== 0) throw new Error("The main job did not finish: the notebook's message stands above");
  console.log(`
Main job done in ${((performance.now() - start) / 60_000).toFixed(1)} min
Executed notebooks   ${outFolder}/
HTML pages           ${siteFolder}/index.html
To work in them      npm run lab`);
});

function notebookNumber(number) {
  const name = readdirSync(inRoot("notebooks")).find(
    (file) => file.startsWith(`${number}-`) && file.endsWith(".ipynb"),
  );
  if (!name) throw new Error(`notebooks/ has no ${number}-*.ipynb; bring it back by: git checkout -- notebooks`);
  return `notebooks/${name}`;
}

function verdictFiles() {
  return filesBelow(inRoot(outFolder), (path) => path.endsWith(".verdict.txt"));
}

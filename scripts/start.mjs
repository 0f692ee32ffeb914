// `npm start`: the set-up, then the two predictions computed afresh, their verdict tables and where everything lies.
import { existsSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { filesBelow } from "./setup/files.mjs";
import { inRoot } from "./setup/paths.mjs";
import { runToEnd } from "./setup/run.mjs";
import { main, setup } from "./setup.mjs";

const outFolder = "build/run";
const siteFolder = "build/site";

await main(async () => {
  await setup();
  const notebooks = ["03", "04"].map(notebookNumber);
  for (const file of verdictFiles()) rmSync(file);
  console.log(`Main job: ${notebooks.join(" and ")}. Results already computed with these settings are used again.\n`);
  const { status } = await runScript("scripts/run-notebooks.cjs", `--out=${outFolder}`, ...notebooks);
  const site = status === 0 && existsSync(inRoot("scripts/build-site.mjs"));
  const siteStatus = site ? (await runScript("scripts/build-site.mjs", siteFolder)).status : undefined;
  printVerdicts();
  console.log(`Executed notebooks   ${outFolder}/`);
  if (siteStatus === 0) console.log(`HTML pages           ${siteFolder}/index.html`);
  console.log("To work in them      npm run lab");
  return status || siteStatus || 0;
});

function notebookNumber(number) {
  const name = readdirSync(inRoot("notebooks")).find(
    (file) => file.startsWith(`${number}-`) && file.endsWith(".ipynb"),
  );
  if (!name) throw new Error(`notebooks/ has no ${number}-*.ipynb; bring it back by: git checkout -- notebooks`);
  return `notebooks/${name}`;
}

const runScript = (...args) => runToEnd(process.execPath, args);

function printVerdicts() {
  for (const file of verdictFiles()) console.log(`\n${readFileSync(file, "utf8").trimEnd()}\n`);
}

function verdictFiles() {
  return filesBelow(inRoot(outFolder), (path) => path.endsWith(".verdict.txt"));
}

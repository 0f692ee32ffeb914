// Compiles the library anew; cells and tests see it after their process starts again.
import { libraryStep } from "./setup/library.mjs";
import { runSteps } from "./setup/steps.mjs";
import { main } from "./setup.mjs";

await main(() => runSteps([libraryStep]));

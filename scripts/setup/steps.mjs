/**
 * A step of the set-up: { title, why, needs?: names of prerequisites, done(): a short text when there is nothing to do,
 * run(say) }. Steps run in order; a done one is skipped.
 */
export async function runSteps(steps, say = console.log) {
  for (const [i, step] of steps.entries()) {
    const head = `[${i + 1}/${steps.length}] ${step.title}`;
    const done = await step.done();
    if (done) {
      say(`${head}: ${done}`);
      continue;
    }
    say(`${head}: ${step.why}`);
    const start = performance.now();
    await step.run((line) => say(`      ${line}`));
    say(`${head}: ready in ${((performance.now() - start) / 1000).toFixed(1)} s`);
  }
}

/** Names of the prerequisites of the steps that are still to do. */
export async function needsOf(steps) {
  const needs = new Set();
  for (const step of steps) if (!(await step.done())) for (const need of step.needs ?? []) needs.add(need);
  return needs;
}

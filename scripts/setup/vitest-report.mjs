/**
 * Passed and failed tests of vitest's JSON report. A skipped test, a file that does not load, and a run that ends badly
 * or without a test are failures too.
 * @param report the parsed report, undefined when vitest wrote none
 * @param ok     whether vitest ended with status 0
 */
export function countTests(report, ok) {
  if (!report) return { passed: 0, failed: 1 };
  const skipped = report.numPendingTests + report.numTodoTests;
  const unloaded = report.testResults.filter(
    (file) => file.status === "failed" && file.assertionResults.length === 0,
  ).length;
  const bad = report.numFailedTests + skipped + unloaded;
  return { passed: report.numPassedTests, failed: bad === 0 && (!ok || report.numPassedTests === 0) ? 1 : bad };
}

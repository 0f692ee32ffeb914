/** A process to be killed: runs a job as far as a step, says so, and stays there. */
import { jobs } from "./tiny-training";

const [job, stateFile, stopAt] = process.argv.slice(2) as [keyof typeof jobs, string, string];

void jobs[job]({
  stateFile,
  progress: {
    step: async (done) => {
      if (done !== Number(stopAt)) return;
      process.send!(done);
      await new Promise(() => {});
    },
  },
});

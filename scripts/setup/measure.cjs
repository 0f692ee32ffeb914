// One child process of the doctor: loads TensorFlow as notebooks do and prints what it is and how fast, as JSON.
const tf = require("@tensorflow/tfjs-node");

const backend = tf.backend();

/** Best of seven runs after a first one that warms up, in GFLOP/s: other programs only ever slow it down. */
function gflops(flop, operation) {
  const run = () => tf.tidy(() => operation().dataSync());
  run();
  const seconds = Array.from({ length: 7 }, () => {
    const start = process.hrtime.bigint();
    run();
    return Number(process.hrtime.bigint() - start) / 1e9;
  });
  return flop / Math.min(...seconds) / 1e9;
}

const a = tf.randomNormal([1024, 1024]);
const x = tf.randomNormal([100, 32, 32, 64]);
const w = tf.randomNormal([3, 3, 64, 64]);
const report = {
  tensorflow: backend.binding.TF_Version,
  tfjs: tf.version.tfjs,
  device: backend.isUsingGpuDevice ? "GPU" : "CPU",
  matmulGflops: gflops(2 * 1024 ** 3, () => tf.matMul(a, a).sum()),
  convGflops: gflops(2 * 9 * 64 * 64 * 100 * 32 * 32, () => tf.conv2d(x, w, 1, "same").sum()),
};
process.stdout.write(`\n${JSON.stringify(report)}\n`);

// tfjs 4.22 calls util.isNullOrUndefined and util.isArray, which Node 23 removed and deprecated: put them back before it loads.
const util = require("node:util");
util.isNullOrUndefined = (value) => value === null || value === undefined;
util.isArray = Array.isArray;

// TensorFlow reads these while it loads: no log lines below an error, and the fast oneDNN kernels on every processor.
process.env.TF_CPP_MIN_LOG_LEVEL ??= "2";
process.env.TF_ENABLE_ONEDNN_OPTS ??= "1";
process.env.TF_FORCE_GPU_ALLOW_GROWTH ??= "true";

try {
  module.exports = require("@tensorflow/tfjs-node-gpu");
} catch (error) {
  if (!/native addon module|tfjs_binding\.node|libtensorflow/.test(error.message)) throw error;
  const reason = error.message.split("\n")[0].trim();
  throw new Error(`TensorFlow is not set up in this folder: run \`npm run setup\` (${reason})`, { cause: error });
}

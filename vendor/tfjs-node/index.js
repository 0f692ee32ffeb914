// tfjs 4.22 calls util.isNullOrUndefined and util.isArray, which Node 23 removed and deprecated: put them back before it loads.
const util = require("node:util");
util.isNullOrUndefined = (value) => value === null || value === undefined;
util.isArray = Array.isArray;
module.exports = require("@tensorflow/tfjs-node-gpu");

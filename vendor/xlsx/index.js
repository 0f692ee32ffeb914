const refuse = () => {
  throw new Error("Excel files are not supported here: use CSV (danfojs readCSV / toCSV)");
};
module.exports = {
  read: refuse,
  readFile: refuse,
  write: refuse,
  writeFile: refuse,
  utils: new Proxy({}, { get: () => refuse }),
};

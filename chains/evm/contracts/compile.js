// Compiles one contract and prints its artefact: `node compile.js <folder of npm solc> <file> <contract>`.
// The test `contracts` runs it and compares with the committed artefacts.
const fs = require("fs");
const path = require("path");

const [solcFolder, file, contract] = process.argv.slice(2);
const solc = require(path.join(solcFolder, "node_modules", "solc"));
// No metadata hash: the bytecode depends on the code alone, not on comments or paths.
const settings = {
  optimizer: { enabled: true, runs: 200 },
  evmVersion: "paris",
  metadata: { bytecodeHash: "none", appendCBOR: false },
};
const name = path.basename(file);
const output = JSON.parse(
  solc.compile(
    JSON.stringify({
      language: "Solidity",
      sources: { [name]: { content: fs.readFileSync(file, "utf8") } },
      settings: { ...settings, outputSelection: { "*": { "*": ["abi", "evm.bytecode.object"] } } },
    }),
  ),
);
const errors = (output.errors || []).filter((error) => error.severity === "error");
if (errors.length > 0) {
  process.stderr.write(errors.map((error) => error.formattedMessage).join("\n"));
  process.exit(1);
}
const compiled = output.contracts[name][contract];
const artefact = {
  contract,
  source: name,
  solc: solc.version(),
  settings,
  abi: compiled.abi,
  bytecode: "0x" + compiled.evm.bytecode.object,
};
process.stdout.write(JSON.stringify(artefact, null, 2) + "\n");

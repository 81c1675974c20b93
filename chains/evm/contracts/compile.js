// Compiles every contract of this folder that others use, and prints the artefacts as one JSON object:
// `node compile.js <folder of npm solc>`; with `--write` behind it, it writes the artefacts' files
// instead. The test `contracts` runs it and compares with the committed files.
const fs = require("fs");
const path = require("path");

const CONTRACTS = {
  "RoadsteadAnchor.sol": ["RoadsteadAnchor"],
  "TestToken.sol": ["TestToken"],
  "HostileTokens.sol": ["FeeOnTransferToken", "NoReturnToken", "ReturnFalseToken", "SpoofToken"],
  "Payers.sol": ["Payer"],
};
// No metadata hash: the bytecode depends on the code alone, not on comments or paths.
const SETTINGS = {
  optimizer: { enabled: true, runs: 200 },
  evmVersion: "paris",
  metadata: { bytecodeHash: "none", appendCBOR: false },
};

const [solcFolder, mode] = process.argv.slice(2);
const solc = require(path.join(solcFolder, "node_modules", "solc"));

function compile(source) {
  const input = {
    language: "Solidity",
    sources: { [source]: { content: fs.readFileSync(path.join(__dirname, source), "utf8") } },
    settings: { ...SETTINGS, outputSelection: { "*": { "*": ["abi", "evm.bytecode.object"] } } },
  };
  const output = JSON.parse(solc.compile(JSON.stringify(input)));
  const errors = (output.errors || []).filter((error) => error.severity === "error");
  if (errors.length > 0) throw new Error(errors.map((error) => error.formattedMessage).join("\n"));
  return output.contracts[source];
}

const artefacts = {};
for (const [source, contracts] of Object.entries(CONTRACTS)) {
  const compiled = compile(source);
  for (const contract of contracts) {
    artefacts[contract] = {
      contract,
      source,
      solc: solc.version(),
      settings: SETTINGS,
      abi: compiled[contract].abi,
      bytecode: "0x" + compiled[contract].evm.bytecode.object,
    };
  }
}

if (mode === "--write") {
  for (const [contract, artefact] of Object.entries(artefacts)) {
    const text = JSON.stringify(artefact, null, 2) + "\n";
    fs.writeFileSync(path.join(__dirname, contract + ".json"), text);
  }
} else {
  process.stdout.write(JSON.stringify(artefacts));
}

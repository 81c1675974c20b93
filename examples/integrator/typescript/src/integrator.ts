// Puts a bank's repayments into the audit log and fetches a receipt for each. Node 20, no dependencies.
//
//   ROADSTEAD_URL=http://127.0.0.1:8080 ROADSTEAD_KEY=rsk_… node dist/integrator.js REPAYMENTS.json RECEIPTS/
//
// REPAYMENTS.json is a list of Repayment. Run it as often as you like: a repayment is recorded once, by
// its id. Exit code 0 when there is a receipt for each.
import { mkdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";

interface Repayment {
  id: string;
  /** A random id of the loan: it is public. */
  loan: string;
  /** A random id of the borrower. */
  borrower: string;
  /** Minor units. A string: a JSON number loses digits. */
  amount: string;
  currency: string;
  payer: string;
}

interface Result {
  id: string;
  status: "created" | "known" | "refused";
  record?: string;
  code?: string;
  detail?: string;
}

interface Status {
  state: string;
  checkpoint: number | null;
}

/** The server said no; sending the same again will not help. */
class Refused extends Error {}

const URL = process.env.ROADSTEAD_URL ?? "http://127.0.0.1:8080";
const KEY = process.env.ROADSTEAD_KEY ?? "";
const BATCH = 1_000;
const PATIENCE_MS = 120_000;

/** One request; sent again while nobody answers or the server says that it is its own fault. */
async function call(method: string, path: string, body?: unknown): Promise<string> {
  for (let attempt = 0; attempt < 6; attempt += 1) {
    try {
      const answer = await fetch(URL + path, {
        method,
        headers: { authorization: `Bearer ${KEY}`, "content-type": "application/json" },
        body: body === undefined ? undefined : JSON.stringify(body),
        signal: AbortSignal.timeout(40_000),
      });
      const text = await answer.text();
      if (answer.ok) return text;
      if (answer.status < 500) throw new Refused(text);
    } catch (error) {
      if (error instanceof Refused) throw error;
    }
    // Nothing is known of the outcome. The same request again is safe: ids make it happen once.
    await sleep(200 * 2 ** attempt);
  }
  throw new Error(`${URL} does not answer`);
}

function toRecord({ id, loan, borrower, amount, currency, payer }: Repayment) {
  return {
    id,
    kind: "loan.repayment",
    stream: loan,
    subject: borrower,
    fields: { amount, currency },
    personal: { payer },
  };
}

/** Writes the repayments; those that were refused. */
async function append(repayments: Repayment[]): Promise<Result[]> {
  const refused: Result[] = [];
  for (let start = 0; start < repayments.length; start += BATCH) {
    const records = repayments.slice(start, start + BATCH).map(toRecord);
    const answer = JSON.parse(await call("POST", "/v1/audit/records", { records })) as { results: Result[] };
    refused.push(...answer.results.filter((result) => result.status === "refused"));
  }
  return refused;
}

/** The receipt, as soon as a signed checkpoint covers the record. */
async function receipt(id: string): Promise<string> {
  const path = `/v1/audit/records/${encodeURIComponent(id)}`;
  for (const end = Date.now() + PATIENCE_MS; Date.now() < end; await sleep(200)) {
    const status = JSON.parse(await call("GET", path)) as Status;
    if (status.checkpoint !== null) return call("GET", `${path}/receipt`);
  }
  throw new Error(`${id} is in no checkpoint after ${PATIENCE_MS} ms`);
}

const [file, folder] = process.argv.slice(2);
if (file === undefined || folder === undefined) throw new Error("usage: integrator.js REPAYMENTS.json RECEIPTS/");
const repayments = JSON.parse(await readFile(file, "utf8")) as Repayment[];
await mkdir(folder, { recursive: true });
const refused = await append(repayments);
for (const { id, code, detail } of refused) console.error(`${id}: ${code}: ${detail}`);
let receipts = 0;
for (const { id } of repayments) {
  try {
    await writeFile(join(folder, `${encodeURIComponent(id)}.json`), await receipt(id));
    receipts += 1;
  } catch (error) {
    if (!(error instanceof Refused)) throw error;
    console.error(`${id}: ${error.message}`);
  }
}
console.log(JSON.stringify({ repayments: repayments.length, refused: refused.length, receipts }));
process.exitCode = receipts === repayments.length ? 0 : 1;

// Opens the page in headless Chromium, gives it questions as a reader would, and prints what it answers.
//
// node chromium.mjs PAGE < QUESTIONS > ANSWERS
//
// QUESTIONS: a JSON list of {receipt, keys, policy, headers, language?, by?}; `by` is how the receipt
// gets in: "paste" (the default), "file" (the file picker) or "drop". ANSWERS: {answers: [{exit_code,
// lines, answer}], requests: [URL], errors: [text]}: every request that the browser made for the page.
// Plain Node and Chromium's own debugging pipe: nothing to install but the browser.
import { spawn } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { pathToFileURL } from "node:url";

const page = pathToFileURL(resolve(process.argv[2])).href;
const questions = JSON.parse(readFileSync(0, "utf8"));
const folder = mkdtempSync(join(tmpdir(), "roadstead-page-"));
const browser = spawn(process.env.CHROMIUM ?? "chromium", [
  "--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking",
  "--disable-component-update", "--disable-sync", "--disable-default-apps", "--disable-dev-shm-usage",
  "--remote-debugging-pipe", `--user-data-dir=${join(folder, "profile")}`, "about:blank",
], { stdio: ["ignore", "ignore", "ignore", "pipe", "pipe"] });
browser.on("error", (error) => { console.error(`no browser: ${error.message}`); process.exit(3); });

const waiting = new Map();
const [requests, errors] = [[], []];
let [next, pending, loaded] = [1, "", () => {}];
browser.stdio[4].setEncoding("utf8").on("data", (chunk) => {
  const messages = (pending + chunk).split("\0");
  pending = messages.pop();
  messages.map((message) => JSON.parse(message)).forEach(receive);
});

function receive({ id, result, error, method, params }) {
  if (id) {
    const { resolve, reject } = waiting.get(id);
    waiting.delete(id);
    if (error) reject(new Error(error.message)); else resolve(result);
  }
  if (method === "Network.requestWillBeSent") requests.push(params.request.url);
  if (method === "Network.webSocketCreated") requests.push(params.url);
  if (method === "Runtime.exceptionThrown") errors.push(params.exceptionDetails.text);
  if (method === "Log.entryAdded" && params.entry.level === "error") errors.push(params.entry.text);
  if (method === "Page.loadEventFired") loaded();
}

function send(method, params = {}, sessionId) {
  const id = next++;
  browser.stdio[3].write(`${JSON.stringify({ id, method, params, sessionId })}\0`);
  return new Promise((resolve, reject) => waiting.set(id, { resolve, reject }));
}

async function main() {
  const { targetId } = await send("Target.createTarget", { url: "about:blank" });
  const { sessionId } = await send("Target.attachToTarget", { targetId, flatten: true });
  const call = (method, params) => send(method, params, sessionId);
  for (const domain of ["Network", "Page", "Runtime", "Log", "DOM"]) await call(`${domain}.enable`);
  const ready = new Promise((resolve) => { loaded = resolve; });
  await call("Page.navigate", { url: page });
  await ready;

  const run = async (expression) => {
    const done = await call("Runtime.evaluate", { expression, awaitPromise: true, returnByValue: true });
    if (done.exceptionDetails) throw new Error(JSON.stringify(done.exceptionDetails));
    return done.result.value;
  };
  const type = (id, text) => run(`document.getElementById(${JSON.stringify(id)}).value = ${JSON.stringify(text)}; 0`);
  const shown = () => run(`({
    exit_code: Number(document.getElementById("verdict").dataset.code),
    lines: [...document.querySelectorAll("#lines li"), document.getElementById("verdict")].map((e) => e.textContent),
    answer: JSON.parse(document.getElementById("json").textContent) })`);
  // The page answers a file or a click a moment later; an emptied result says when.
  const settle = (act) => run(`(async () => {
    const json = document.getElementById("json");
    json.textContent = "";
    ${act};
    for (let wait = 0; json.textContent === "" && wait < 2000; wait += 1) await new Promise((r) => setTimeout(r, 5));
    if (json.textContent === "") throw new Error("no answer");
    return 0;
  })()`);

  async function ask(question) {
    const { receipt, keys, policy, headers, language = "en", by = "paste" } = question;
    await run(`document.querySelector('[data-language="${language}"]').click(); 0`);
    await type("keys", keys.join("\n"));
    await type("policy", policy ?? "");
    await type("headers", headers ?? "");
    await type("receipt", by === "paste" ? receipt : "");
    if (by === "file") {
      const file = join(folder, `receipt-${next}.json`);
      writeFileSync(file, receipt);
      await run(`document.getElementById("json").textContent = ""; 0`);
      const { root } = await call("DOM.getDocument");
      const input = await call("DOM.querySelector", {
        nodeId: root.nodeId, selector: 'input[data-into="receipt"]' });
      await call("DOM.setFileInputFiles", { nodeId: input.nodeId, files: [file] });
      await run(`(async () => { while (document.getElementById("json").textContent === "")
        await new Promise((r) => setTimeout(r, 5)); return 0; })()`);
    } else if (by === "drop") {
      await settle(`const data = new DataTransfer();
        data.items.add(new File([${JSON.stringify(receipt)}], "receipt.json"));
        document.querySelector('.drop[data-into="receipt"]')
          .dispatchEvent(new DragEvent("drop", { dataTransfer: data, cancelable: true }))`);
    } else {
      await settle(`document.getElementById("verify").click()`);
    }
    return shown();
  }

  const answers = [];
  for (const question of questions) answers.push(await ask(question));
  return { answers, requests: requests.filter((url) => url !== page && url !== "data:,"), errors };
}

const late = setTimeout(() => { console.error("the page took too long"); finish(1); }, 150_000);
function finish(code) {
  clearTimeout(late);
  browser.kill("SIGKILL");
  browser.on("exit", () => {});
  setTimeout(() => { rmSync(folder, { recursive: true, force: true, maxRetries: 5 }); process.exit(code); }, 100);
}
main().then(
  (found) => process.stdout.write(JSON.stringify(found), () => finish(0)),
  (error) => { console.error(error.message); finish(1); },
);

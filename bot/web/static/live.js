// Follows a job's event stream and fills in the page. Every text goes in by textContent; nothing in it can run.
"use strict";

const body = document.body;
const byId = (id) => document.getElementById(id);
const blank = (id) => byId(id).content.firstElementChild.cloneNode(true);
const put = (node, selector, text) => { node.querySelector(selector).textContent = text; };
const DIFF_LINES_SHOWN = 3000;
const STEP_ENDS = { yes: "Done: ", failed: "Failed: ", skipped: "Not done: " };
const LINE_KINDS = { "+": "add", "-": "del", "@": "hunk" };
const SAID_BY_THE_PATH = /^(?:index |--- |\+\+\+ )/;

const skew = Date.now() / 1000 - Number(body.dataset.now);
let seq = Number(body.dataset.seq);
let source = null;

function duration(seconds) {
  if (seconds < 9.95) return `${Math.max(seconds, 0).toFixed(1)} s`;
  const whole = Math.round(seconds);
  if (whole < 60) return `${whole} s`;
  const minutes = Math.floor(whole / 60);
  if (minutes < 60) return whole % 60 ? `${minutes} min ${whole % 60} s` : `${minutes} min`;
  return minutes % 60 ? `${Math.floor(minutes / 60)} h ${minutes % 60} min` : `${minutes / 60} h`;
}

function elapse() {
  const started = Number(body.dataset.started);
  if (!started) return;
  const end = Number(body.dataset.finished) || Date.now() / 1000 - skew;
  const seconds = end - started;
  byId("elapsed").textContent = body.dataset.finished ? duration(seconds) : duration(Math.floor(seconds)).replace(".0", "");
}

function showView(view) {
  body.dataset.state = view.state;
  body.dataset.started = view.started_at ?? "";
  body.dataset.finished = view.finished_at ?? "";
  byId("label").textContent = view.label;
  if (byId("headline").textContent !== view.headline) byId("headline").textContent = view.headline;
  byId("cost").textContent = view.cost;
  byId("tokens").textContent = view.tokens;
  byId("turns").textContent = view.turns;
  byId("tool-calls").textContent = view.tool_calls;
  byId("model").textContent = view.model || "–";
  byId("steps").replaceChildren(...view.steps.map(step));
  byId("cancel").hidden = view.over;
  byId("waiting").hidden = view.over;
  document.title = [view.label, ...document.title.split(" · ").slice(1)].join(" · ");
  elapse();
}

function step([mark, words, code, tail]) {
  const line = blank("a-step");
  line.dataset.done = mark;
  put(line, ".sr", STEP_ENDS[mark] ?? "");
  put(line, ".words", words);
  put(line, "code", code);
  put(line, ".tail", tail);
  return line;
}

function append(id, fill) {
  const atEnd = window.innerHeight + window.scrollY >= document.documentElement.scrollHeight - 120;
  const entry = blank(id);
  fill(entry);
  byId("log").append(entry);
  if (atEnd && window.scrollY > 0) window.scrollTo({ top: document.documentElement.scrollHeight });
}

function returned(event) {
  const entry = [...document.querySelectorAll(".tool")].findLast((tool) => tool.dataset.key === event.call_id);
  if (!entry) return;
  entry.dataset.state = event.ok ? "ok" : "failed";
  put(entry, ".state", entry.dataset.state);
  put(entry, ".meta", event.seconds >= 0.05 ? duration(event.seconds) : "");
  put(entry, ".output", event.output || "(no output)");
}

function showDiff(event) {
  const lines = event.diff.split("\n");
  const files = [];
  let inHunks = false;
  for (const line of lines.slice(0, DIFF_LINES_SHOWN)) {
    if (line.startsWith("diff --git ")) {
      files.push({ path: line.slice(line.lastIndexOf(" b/") + 3), rows: [] });
      inHunks = false;
    } else if (files.length && line && (inHunks || !SAID_BY_THE_PATH.test(line))) {
      inHunks = inHunks || line.startsWith("@@");
      files.at(-1).rows.push({ line, kind: inHunks ? LINE_KINDS[line[0]] ?? "same" : "meta" });
    }
  }
  byId("files").replaceChildren(...files.map((file) => {
    const part = blank("a-file");
    part.open = files.length <= 4;
    const count = (kind) => file.rows.filter((row) => row.kind === kind).length;
    put(part, ".path", file.path);
    put(part, ".added", `+${count("add")}`);
    put(part, ".removed", `-${count("del")}`);
    part.querySelector(".diff").replaceChildren(...file.rows.map(({ line, kind }) => {
      const row = document.createElement("span");
      row.className = kind;
      row.textContent = `${line}\n`;
      return row;
    }));
    return part;
  }));
  showSize(event.stats);
  byId("diff-cut").hidden = lines.length - 1 <= DIFF_LINES_SHOWN;
  byId("change").hidden = false;
}

function showSize(stats) {
  const sum = (what) => stats.reduce((total, stat) => total + (stat[what] ?? 0), 0);
  const files = stats.length === 1 ? "1 file" : `${stats.length} files`;
  byId("size").textContent = `${files}, +${sum("additions")} -${sum("deletions")}`;
}

function showReceipt({ command, reason, runs }, verdicts) {
  const code = document.createElement("code");
  code.textContent = command;
  byId("command").replaceChildren(...(command ? [code] : []));
  byId("not-run").textContent = runs.length ? "" : `Not run: ${reason || "no test command found"}.`;
  byId("runs").replaceChildren(...runs.map((run, place) => {
    const part = blank("a-ran");
    part.dataset.ok = run.exit_code === 0 && !run.timed_out ? "yes" : "no";
    put(part, ".where", run.where);
    put(part, ".result", verdicts[place]);
    put(part, ".meta", duration(run.seconds));
    put(part, ".output", run.tail || "(no output)");
    return part;
  }));
  byId("verification").hidden = false;
}

function showPullRequest(event) {
  if (!/^https?:\/\//.test(event.url)) return;
  const link = byId("pull-request");
  link.href = event.url;
  link.textContent = `View pull request #${event.number}`;
  link.hidden = false;
  showSize(event.stats);
}

const SHOW = {
  model_answered: (event) => event.text.trim() && append("a-said", (entry) => put(entry, "p", event.text.trim())),
  tool_called: (event) => append("a-tool", (entry) => {
    entry.dataset.key = event.call_id;
    put(entry, ".what", event.title.trim() || event.tool);
    put(entry, ".output", "…");
  }),
  tool_returned: returned,
  noted: (event) => append("a-note", (entry) => put(entry, "p", event.text)),
  model_switched: (event) => append("a-note", (entry) => put(entry, "p", event.text)),
  steered: (event) => append("a-note", (entry) => put(entry, "p", event.text)),
  diff_shown: showDiff,
  verified: (event, view) => showReceipt(event.receipt, view.verdicts),
  pull_request_opened: showPullRequest,
};

function receive(message) {
  const recorded = JSON.parse(message.data);
  if (recorded.seq <= seq) return;
  seq = recorded.seq;
  SHOW[recorded.event.kind]?.(recorded.event, recorded.view);
  showView(recorded.view);
  if (recorded.view.over) source.close();
}

function say(words) {
  byId("link").textContent = words;
  byId("link").hidden = !words;
}

function follow() {
  source = new EventSource(`${body.dataset.events}&last_event_id=${seq}`);
  source.onmessage = receive;
  source.onopen = () => say("");
  source.onerror = () => {
    say("Reconnecting…");
    if (source.readyState === EventSource.CLOSED) setTimeout(follow, 5000);
  };
}

if (!body.dataset.finished) {
  follow();
  setInterval(elapse, 1000);
}

// The page: parts come as server-sent events, and only what has changed is touched. Every text is set as text, never as HTML.
"use strict";

const RETRY_MS = 10000; // after an answer that is no stream
const LOST_S = 8; // without a stream: a new one is opened every ten minutes, which is nothing to tell of
const SILENT_S = 30; // a stream that says nothing for so long is none: it beats every 10 s
const byId = (id) => document.getElementById(id);
const natural = new Intl.Collator("en", { numeric: true }).compare;

const parts = new Map(); // name of a part to its value; without the domains
const rows = new Map(); // domain to its row
let clock = 0; // seconds that the server's clock is ahead of this one
let connected = false;
let since = Date.now(); // when the stream said something last, or has ended
let full = 0; // the most pages, if so many are open
let source = null;
const now = () => Date.now() / 1000 + clock;

// --- words

function ago(at) {
  const seconds = Math.max(0, now() - at);
  for (const [unit, size] of [["d", 86400], ["h", 3600], ["min", 60]]) {
    if (seconds >= size) return `${Math.round(seconds / size)} ${unit}`;
  }
  return `${Math.round(seconds)} s`;
}

function lasted(seconds) {
  if (seconds < 60) return `${seconds < 10 ? seconds.toFixed(1) : Math.round(seconds)} s`;
  if (seconds < 600) return `${Math.floor(seconds / 60)} min ${Math.floor(seconds % 60)} s`;
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min`;
  return `${Math.floor(seconds / 3600)} h ${Math.floor((seconds % 3600) / 60)} min`;
}

const utc = (at) => new Date(at * 1000).toISOString().slice(0, 19).replace("T", " ");
const gib = (mib) => (mib < 102400 ? (mib / 1024).toFixed(1) : String(Math.round(mib / 1024)));
const amount = (value, unit) => (unit === "B" ? `${Math.round(value / 1048576)} MiB` : `${Math.round(value)} ${unit}`.trim());

// --- elements: nothing is written that is there already

function change(node, property, value) {
  if (node[property] !== value) node[property] = value;
}
const text = (node, value) => change(node, "textContent", value);
const name = (node, value) => change(node, "className", value);
const hide = (node, value) => change(node, "hidden", value);
function make(tag, className, value) {
  const node = document.createElement(tag);
  if (className) node.className = className;
  if (value !== undefined) node.textContent = value;
  return node;
}

// Give `parent` one child for each of `items`, in their order; those of the same key stay.
function keyed(parent, items, key, create, update) {
  const old = new Map([...parent.children].map((child) => [child.dataset.key, child]));
  items.forEach((item, index) => {
    const id = String(key(item));
    let child = old.get(id);
    if (child) old.delete(id);
    else {
      child = create();
      child.dataset.key = id;
    }
    update(child, item);
    if (parent.children[index] !== child) parent.insertBefore(child, parent.children[index] || null);
  });
  while (parent.children.length > items.length) parent.lastChild.remove();
}

function row(columns) {
  const tr = document.createElement("tr");
  columns.forEach((column, index) => {
    const cell = make(index ? "td" : "th", column);
    if (!index) cell.scope = "row";
    tr.append(cell);
  });
  return tr;
}

// `cells`: [text, "" | "wrong" | "doubt" | "dim", title]; what is wrong has a sign, too.
function fill(tr, cells) {
  cells.forEach(([value, level, title], index) => {
    const cell = tr.cells[index];
    text(cell, level === "wrong" ? `✗ ${value}` : level === "doubt" ? `! ${value}` : value);
    for (const one of ["wrong", "doubt", "dim"]) cell.classList.toggle(one, level === one);
    change(cell, "title", title || "");
  });
}

// --- what is shown

function headline() {
  const reading = parts.get("reading");
  const trouble = stale(reading);
  const at = reading && reading.at;
  const verdict = at && parts.get("verdict");
  text(byId("age"), at ? `${ago(at)} ago` : "not yet");
  byId("age").title = at ? `${utc(at)} UTC; asking took ${reading.took} s; every ${reading.every} s` : "";
  hide(byId("trouble"), !trouble);
  text(byId("trouble"), trouble);
  document.body.className = trouble ? "stale" : verdict ? "" : "waiting";
  name(byId("verdict"), `verdict ${trouble ? "red" : verdict ? verdict.level : ""}`);
  const sign = { good: "✓ ", yellow: "! ", red: "✗ " };
  const known = verdict ? sign[verdict.level] + verdict.text : "";
  hide(byId("before"), !(trouble && known));
  text(byId("before"), trouble && known ? `At ${utc(at)} UTC it was: ${known}` : "");
  const shown = trouble ? (at ? `? NOT known since ${utc(at)} UTC` : "? NOT known") : known || "Asking the servers …";
  text(byId("headline"), shown);
  const site = parts.get("site");
  const title = `${trouble ? "?" : verdict ? sign[verdict.level].trim() : "…"} ${site ? site.name : "snow"}`;
  change(document, "title", title);
}

// Why what is shown may not be so any more; empty if it is new.
function stale(reading) {
  const silent = (Date.now() - since) / 1000;
  if (full) return `As many pages are open as may be (${full}). Close one of them; this one tries again every 10 s.`;
  if (silent > (connected ? SILENT_S : LOST_S)) {
    return "The dashboard does not answer. Does `snow dashboard` still run? This page tries again by itself.";
  }
  if (!reading) return "";
  if (reading.trouble) return `The site cannot be read since ${utc(reading.trouble_since)} UTC: ${reading.trouble}`;
  if (reading.at && now() - reading.at > reading.every + 4 * reading.took + 15) {
    return `Since ${utc(reading.at)} UTC the servers have not answered. What is shown is of then.`;
  }
  return "";
}

function site(value) {
  text(byId("site"), value.name);
  hide(byId("floating"), !value.floating_ip);
  const wrong = value.floating_ip_on === "no server";
  text(byId("floating-ip"), `${wrong ? "✗ " : ""}${value.floating_ip} on ${value.floating_ip_on}`);
  name(byId("floating-ip"), wrong ? "wrong" : "");
}

const MARKS = { red: "✗ WRONG", yellow: "! WARN", note: "NOTE" };

function findings(groups) {
  hide(byId("findings-none"), groups.length > 0);
  hide(byId("findings-list"), groups.length === 0);
  const create = () => {
    const item = make("li");
    item.append(make("span", "mark"), make("div"));
    return item;
  };
  keyed(byId("findings-list"), groups, (group) => group.code, create, (item, group) => {
    name(item, group.severity === "note" ? "note-level" : group.severity);
    text(item.firstChild, MARKS[group.severity]);
    item.title = `${group.title} (${group.code})`;
    const shown = [...group.shown, ...(group.more.length ? [{ more: group.more }] : [])];
    keyed(item.lastChild, shown, (one) => (one.more ? "more" : `${one.where} ${one.message}`), () => make("div"), finding);
  });
}

function finding(node, one) {
  if (one.more) {
    name(node, "more dim");
    text(node, `and ${one.more.length} more alike: ${one.more.slice(0, 12).join(", ")}${one.more.length > 12 ? ", …" : ""}`);
    return;
  }
  name(node, "finding");
  const lines = [["message", one.message]];
  if (one.since) lines.push(["dim", `since ${utc(one.since)} UTC (${ago(one.since)})`]);
  if (one.next) lines.push(["dim", `by itself: ${one.next}`]);
  if (one.remedy) lines.push(["", `→ ${one.remedy}`]);
  keyed(node, [...lines.entries()], ([index]) => index, () => make("p"), (line, [, [kind, value]]) => {
    name(line, kind);
    text(line, value);
  });
}

function servers(list) {
  const columns = ["", "", "", "", "", "", "n", "n", "", ""];
  keyed(byId("servers"), list, (one) => one.name, () => row(columns), (tr, one) => {
    const down = one.links.some((link) => !link.up);
    const links = one.links.map((link) => `${link.number} ${link.up ? "up" : "DOWN"}`).join(", ");
    // nobody could be asked for proofs either
    const never = one.fencing === "unknown" ? "not known" : "never";
    const memory = one.free_mib === null ? "–" : `${gib(one.free_mib)}${one.total_mib ? ` of ${gib(one.total_mib)}` : ""} GiB`;
    fill(tr, [
      [one.name, one.reachable ? "" : "wrong", one.trouble],
      [one.reachable || one.cluster !== "unknown" ? one.cluster : "does not answer", one.cluster === "online" ? "" : "wrong", one.trouble],
      [one.quorate === null ? "–" : one.quorate ? "yes" : "no", one.quorate === false ? "wrong" : ""],
      [links || "–", down ? "wrong" : ""],
      [one.fencing, one.fencing === "ready" ? "" : "wrong"],
      [one.proven ? `${ago(one.proven)} ago` : never, one.proven ? "" : "doubt", one.proven ? `${utc(one.proven)} UTC` : ""],
      [one.domains === null ? "–" : String(one.domains), ""],
      [memory, ""],
      [one.loss === "unknown" ? "–" : one.loss, one.loss.startsWith("no ") ? "doubt" : ""],
      [one.xen || "–", "dim"],
    ]);
  });
}

function run(value) {
  hide(byId("run"), !value);
  if (!value) return;
  const of = value.steps ? ` of ${value.steps}` : "";
  text(byId("run-title"), value.is_live ? `Run ${value.number} goes on` : `Run ${value.number}: its end is not noted`);
  const bad = [[value.failed, "failed"], [value.blocked, "blocked"]].filter(([count]) => count);
  const source = value.server ? `; the journal is a copy from ${value.server}` : "";
  const unsure = value.is_live ? "" : ` It goes on on another machine, or was lost. Noted last ${ago(value.noted)} ago${source}.`;
  const counts = bad.map(([count, word]) => `, ✗ ${count} ${word}`).join("");
  text(byId("run-text"), `${value.ended}${of} steps ended${counts}. Begun ${ago(value.since)} ago by ${value.who}.${unsure}`);
  hide(byId("run-bar"), !value.steps);
  if (value.steps) change(byId("run-bar"), "value", value.ended / value.steps);
  keyed(byId("run-steps"), value.at_work, (one) => one.step, () => row(["", "", "", "text"]), (tr, one) => {
    text(tr.cells[0], one.step);
    text(tr.cells[1], ago(one.since));
    text(tr.cells[3], one.detail);
    progress(tr.cells[2], one);
  });
}

function progress(cell, one) {
  if (!one.progress) {
    text(cell, "–");
    return;
  }
  const { done, total, unit } = one.progress;
  if (!cell.firstElementChild) {
    cell.replaceChildren(make("progress"), make("span"));
    cell.firstElementChild.setAttribute("aria-label", `progress of ${one.step}`);
  }
  cell.firstElementChild.value = done / total;
  text(cell.lastElementChild, `${amount(done, unit)} of ${amount(total, unit)}`);
}

function events(list) {
  hide(byId("events-none"), list.length > 0);
  hide(byId("events-table"), list.length === 0);
  keyed(byId("events"), list, (one) => `${one.since} ${one.kind} ${one.text}`, () => row(["", "", "text"]), (tr, one) => {
    const levels = { red: "wrong", yellow: "doubt", note: "" };
    fill(tr, [[utc(one.at), ""], [one.kind, "dim"], [one.text, levels[one.level]]]);
  });
}

// --- downtimes: one row for each domain, with all of them on one axis

const SPANS = [[3600, "1 h"], [6 * 3600, "6 h"], [86400, "24 h"], [7 * 86400, "7 d"]];

function downtimes(list) {
  const end = now();
  const oldest = Math.min(...list.map((one) => one.since), end);
  const [span, word] = SPANS.find(([size]) => end - oldest <= size) || SPANS[SPANS.length - 1];
  const of = new Map();
  for (const one of list) of.set(one.domain, [...(of.get(one.domain) || []), one]);
  hide(byId("downtimes-none"), list.length > 0);
  hide(byId("downtimes-table"), list.length === 0);
  if (byId("axis").dataset.span !== word) {
    byId("axis").dataset.span = word;
    byId("axis").replaceChildren(make("span", "", `${word} ago`), make("span", "", "now"));
  }
  keyed(byId("downtimes"), [...of], ([domain]) => domain, () => row(["", "", "", "n", "text"]), (tr, [domain, all]) => {
    const lengths = all.map((one) => (one.until || end) - one.since);
    const { since, until, why } = all[0];
    const more = all.length > 1 ? `; ${all.length} in all, the longest ${lasted(Math.max(...lengths))}` : "";
    track(tr.cells[1], all, end - span, span, end);
    text(tr.cells[0], domain);
    text(tr.cells[2], utc(since).slice(0, 16));
    text(tr.cells[3], lasted(lengths[0]));
    text(tr.cells[4], `${until ? "" : "off still: "}${why}${more}`);
  });
}

function track(cell, all, begin, span, end) {
  if (!cell.firstChild) {
    const node = make("span", "track");
    node.setAttribute("aria-hidden", "true");
    cell.append(node);
  }
  const seen = all.filter((one) => (one.until || end) > begin);
  keyed(cell.firstChild, seen, (one) => one.since, () => make("i"), (mark, one) => {
    const from = Math.max(one.since, begin);
    const left = `${((100 * (from - begin)) / span).toFixed(2)}%`;
    const width = `${((100 * ((one.until || end) - from)) / span).toFixed(2)}%`;
    change(mark.style, "left", left);
    change(mark.style, "width", width);
  });
}

// --- domains

function domain(id, value) {
  let known = rows.get(id);
  if (!known) {
    known = { tr: row(["", "", "", "", "", "text"]), well: null, words: "" };
    rows.set(id, known);
  }
  known.isMoved = known.well !== value.well;
  known.well = value.well;
  const state = value.state === "running" || value.state === "off on purpose" ? "" : "wrong";
  const unmanaged = value.pacemaker.includes("not managed") || value.state === "disagree" ? "wrong" : "";
  fill(known.tr, [
    [id, ""],
    [value.state, state],
    [value.servers || "–", ""],
    [value.pacemaker, unmanaged],
    [value.held || "–", value.held_wrong ? "wrong" : ""],
    [value.move, ""],
  ]);
  known.words = `${id} ${value.state} ${value.servers} ${value.held}`.toLowerCase();
  return known.isMoved;
}

function inOrder() {
  const body = byId("rows");
  const ordered = [...rows].sort(([a, one], [b, other]) => one.well - other.well || natural(a, b));
  let next = body.firstChild;
  for (const [, one] of ordered) {
    if (one.tr === next) next = next.nextSibling;
    else body.insertBefore(one.tr, next);
  }
}

function filter() {
  const words = byId("filter").value.toLowerCase().split(/\s+/).filter(Boolean);
  const only = byId("only").checked;
  let shown = 0;
  let wrong = 0;
  for (const one of rows.values()) {
    const fits = words.every((word) => one.words.includes(word)) && !(only && one.well);
    hide(one.tr, !fits);
    shown += fits;
    wrong += !one.well;
  }
  const few = shown === rows.size ? `${shown}` : `${shown} of ${rows.size}`;
  text(byId("shown"), `${few} shown${wrong ? `, ✗ ${wrong} wrong` : ""}`);
}

// --- the stream

const SHOW = { site, findings, servers, run, events, downtimes };
const AGEING = ["findings", "servers", "run", "downtimes"]; // what has ages in it

function take(message) {
  clock = message.now - Date.now() / 1000;
  const gone = new Set(message.gone);
  // without a verdict nothing was read yet: what was shown before stays, dimmed
  if (message.whole && message.set.verdict) for (const id of rows.keys()) if (!(`domain/${id}` in message.set)) gone.add(`domain/${id}`);
  let isMoved = gone.size > 0;
  for (const part of gone) {
    const id = part.startsWith("domain/") ? part.slice(7) : null;
    if (id !== null && rows.has(id)) {
      rows.get(id).tr.remove();
      rows.delete(id);
    }
  }
  let domains = isMoved;
  for (const [part, value] of Object.entries(message.set)) {
    if (part.startsWith("domain/")) {
      isMoved = domain(part.slice(7), value) || isMoved;
      domains = true;
    } else {
      parts.set(part, value);
      if (SHOW[part]) SHOW[part](value);
    }
  }
  if ("journal" in message.set) text(byId("journal"), message.set.journal.trouble ? `(not read: ${message.set.journal.trouble})` : "");
  if (isMoved) inOrder();
  if (domains) filter();
  headline();
}

function open() {
  source = new EventSource("events");
  const listen = (event, use) =>
    source.addEventListener(event, (message) => {
      since = Date.now();
      connected = true;
      full = 0;
      use(JSON.parse(message.data));
    });
  listen("parts", take);
  listen("beat", (beat) => {
    clock = beat.now - Date.now() / 1000;
  });
  listen("full", (value) => {
    full = value.most;
    again();
  });
  source.onerror = () => {
    if (connected) since = Date.now();
    connected = false;
    if (source.readyState === EventSource.CLOSED) again();
  };
}

function again() {
  source.close();
  setTimeout(open, RETRY_MS);
  headline();
}

byId("filter").addEventListener("input", filter);
byId("only").addEventListener("change", filter);
setInterval(headline, 1000);
setInterval(() => {
  for (const part of AGEING) if (parts.has(part)) SHOW[part](parts.get(part));
}, 10000);
open();

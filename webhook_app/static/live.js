// Keeps the one live part of a page fresh: asks when it is time, swaps only what is new and good, says what failed.

const SLOWEST_MS = 60000;
const TOP_PX = 120; // a reader this near the top sees new rows come in

let etag = null;
let failures = 0;
let goodAt = new Date();
let askedAt = 0;
let timer = 0;
let showAll = false;
let seen = rowIds(document);

const live = () => document.querySelector("#live[data-live]");
const note = (when) => document.querySelector(`[data-live-note] [data-when="${when}"]`);

if (live()) {
  document.addEventListener("htmx:config:request", prepare);
  document.addEventListener("htmx:before:response", judge);
  document.addEventListener("htmx:before:swap", holdBack);
  document.addEventListener("htmx:error", (event) => isOurs(event) && fail());
  document.addEventListener("htmx:finally:request", (event) => isOurs(event) && plan());
  document.addEventListener("visibilitychange", () => (document.hidden ? clearTimeout(timer) : ask()));
  window.addEventListener("online", ask);
  document.querySelector("[data-live-again]")?.addEventListener("click", ask);
  document.querySelector("[data-live-show]")?.addEventListener("click", showNew);
  plan();
}

function isOurs(event) {
  return event.detail.ctx?.sourceElement?.id === "live";
}

function ask() {
  clearTimeout(timer);
  if (document.hidden || !live()) return;
  if (!note("new").hidden && isAtTop()) etag = null; // back at the top: what waited may come in
  askedAt = performance.now();
  live().dispatchEvent(new CustomEvent("wasl:poll"));
}

// A slow server is asked less often: never more than a tenth of the time is spent asking.
function plan() {
  clearTimeout(timer);
  if (document.hidden || !live()) return; // a closed message comes without data-live: nothing more can change
  const every = Number(live().dataset.live);
  const took = askedAt ? performance.now() - askedAt : 0;
  timer = setTimeout(ask, Math.min(SLOWEST_MS, Math.max(every, took * 10) * 2 ** Math.min(failures, 5)));
}

function prepare(event) {
  if (!isOurs(event) || !etag) return;
  event.detail.ctx.request.headers["If-None-Match"] = etag;
}

// Anything but a good fragment is kept away from the page.
function judge(event) {
  if (!isOurs(event)) return;
  const { raw, status, headers } = event.detail.ctx.response;
  if (status === 304) {
    recover();
    return event.preventDefault();
  }
  if (raw.redirected || status === 401) {
    event.preventDefault();
    return fail("signed-out");
  }
  if (status !== 200) {
    event.preventDefault();
    return fail();
  }
  etag = headers.get("ETag");
  recover();
}

function fail(kind = "failed") {
  failures += 1;
  live()?.setAttribute("data-stale", "");
  note("failed").hidden = kind !== "failed";
  note("signed-out").hidden = kind !== "signed-out";
  const since = note("failed").querySelector("[data-since]");
  since.dateTime = goodAt.toISOString();
  since.textContent = goodAt.toLocaleTimeString("en-GB", { timeZone: document.documentElement.dataset.zone });
}

function recover() {
  failures = 0;
  goodAt = new Date();
  live()?.removeAttribute("data-stale");
  note("failed").hidden = true;
  note("signed-out").hidden = true;
}

// New rows would push away what is being read: below the top they wait until they are asked for.
function holdBack(event) {
  if (!isOurs(event)) return;
  const fresh = event.detail.tasks?.find((task) => task.type === "main")?.fragment;
  const rows = fresh?.querySelector("[data-hold] [data-rows]");
  if (!rows) return;
  const coming = [...rows.children].filter((row) => !seen.has(row.id));
  if (showAll || !coming.length || isAtTop()) {
    showAll = false;
    seen = rowIds(fresh);
    note("new").hidden = true;
    return;
  }
  keepRows(rows);
  note("new").querySelector("[data-count]").textContent = coming.length;
  note("new").hidden = false;
}

function keepRows(rows) {
  const byId = new Map([...rows.children].map((row) => [row.id, row]));
  const kept = [...document.querySelectorAll("#live [data-rows] > *")].map((row) => byId.get(row.id) ?? row.cloneNode(true));
  rows.replaceChildren(...kept);
}

function showNew() {
  showAll = true;
  etag = null;
  window.scrollTo({ top: 0 });
  ask();
}

function isAtTop() {
  return window.scrollY < TOP_PX;
}

function rowIds(root) {
  return new Set([...root.querySelectorAll("#live [data-hold] [data-rows] > *")].map((row) => row.id));
}

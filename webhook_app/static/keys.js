// Keys for those who live here: / search, g then o m s c, j k and Enter on rows, c send, ? help. Off in fields.

const GO_WAIT_MS = 1200;
let goUntil = 0;

if (location.hash === "#q") search();

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || isTyping(event.target)) return;
  if (document.querySelector("dialog[open]") || !document.querySelector(".frame")) return;
  const act = Date.now() < goUntil ? go : direct;
  goUntil = 0;
  if (act(keyOf(event))) event.preventDefault();
});

// Where the keyboard writes Arabic or Kurdish, a key is known by its place.
function keyOf(event) {
  if (event.key === "؟") return "?";
  if (event.key.length !== 1 || /[!-~]/.test(event.key)) return event.key;
  if (event.code === "Slash") return event.shiftKey ? "?" : "/";
  return !event.shiftKey && /^Key[A-Z]$/.test(event.code) ? event.code.at(-1).toLowerCase() : event.key;
}

function isTyping(element) {
  return element.isContentEditable || /^(INPUT|TEXTAREA|SELECT)$/.test(element.tagName);
}

function go(key) {
  const link = document.querySelector(`[data-go="${CSS.escape(key)}"]`);
  link?.click();
  return Boolean(link);
}

function direct(key) {
  switch (key) {
    case "/": return search();
    case "g": goUntil = Date.now() + GO_WAIT_MS; return true;
    case "c": return go("s");
    case "j": return step(1);
    case "k": return step(-1);
    case "?": document.getElementById("help")?.showModal(); return true;
    default: return false;
  }
}

function search() {
  const field = document.querySelector("[data-search]");
  if (!field) return goSearching();
  field.focus();
  field.select();
  return true;
}

// The list's page opens with its search field ready, see below.
function goSearching() {
  const link = document.querySelector('[data-go="m"]');
  if (link) location.assign(`${link.href}#q`);
  return Boolean(link);
}

// The row's own link takes the focus, so Enter opens it without further ado.
function step(by) {
  const links = [...document.querySelectorAll(".row-link")];
  const at = links.indexOf(document.activeElement);
  const next = links[at < 0 ? (by > 0 ? 0 : links.length - 1) : at + by];
  next?.focus();
  return Boolean(next);
}

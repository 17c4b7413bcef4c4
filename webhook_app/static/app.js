// Small conveniences of the pages, each found by its data attribute. Every page works without them.

const GSM = /^[@£$¥èéùìòÇ\nØø\rÅåΔ_ΦΓΛΩΠΨΣΘΞÆæßÉ !"#¤%&'()*+,\-./0-9:;<=>?¡A-ZÄÖÑÜ§¿a-zäöñüà^{}\\[~\]|€]*$/;
const GSM_DOUBLE = /[\^{}\\[~\]|€]/g; // these take two places each
const AGO_UNITS = [["agoDay", 86400], ["agoHour", 3600], ["agoMinute", 60], ["agoSecond", 1]];

copyButtons();
codeMakers();
textCounters();
onceOnlyForms();
countdowns();
templateFields();
ownTexts();
menus();
freshTimes();
document.addEventListener("htmx:after:swap", () => {
  copyButtons();
  freshTimes();
});
setInterval(() => document.hidden || freshTimes(), 1000);

function copyButtons() {
  if (!navigator.clipboard) return; // plain http: the browser gives no clipboard, so no button either
  for (const button of document.querySelectorAll("[data-copy][hidden]")) {
    button.hidden = false;
    button.addEventListener("click", async () => {
      await navigator.clipboard.writeText(document.getElementById(button.dataset.copy).textContent.trim());
      const words = button.querySelector("span");
      const before = words.textContent;
      if (before === button.dataset.done) return;
      words.textContent = button.dataset.done;
      setTimeout(() => { words.textContent = before; }, 1600);
    });
  }
}

function codeMakers() {
  for (const button of document.querySelectorAll("[data-make-code]")) {
    button.hidden = false;
    button.addEventListener("click", () => {
      const field = document.getElementById(button.dataset.makeCode);
      field.value = sixDigits();
      field.focus();
    });
  }
}

function sixDigits() {
  const drawn = new Uint32Array(1);
  // Drawing again above the last whole million keeps every code equally likely.
  do crypto.getRandomValues(drawn); while (drawn[0] >= 4294000000);
  return String(drawn[0] % 1000000).padStart(6, "0");
}

function textCounters() {
  for (const field of document.querySelectorAll("[data-count-text]")) {
    const out = document.getElementById(field.dataset.countText);
    const show = () => { out.textContent = field.value ? countWords(field.value, out.dataset) : ""; };
    field.addEventListener("input", show);
    show();
  }
}

function countWords(text, words) {
  const plain = GSM.test(text);
  const length = plain ? text.length + (text.match(GSM_DOUBLE) ?? []).length : text.length;
  const [single, joined] = plain ? [160, 153] : [70, 67]; // joined parts spend some room on their order
  const parts = length <= single ? 1 : Math.ceil(length / joined);
  const each = parts === 1 ? single : joined;
  const line = (parts === 1 ? words.one : words.many).replace("{n}", length).replace("{parts}", parts);
  return plain ? line : `${line} (${words.wide.replace("{each}", each)})`;
}

function onceOnlyForms() {
  for (const form of document.querySelectorAll("form[data-once]")) {
    form.addEventListener("submit", (event) => {
      if (form.dataset.sent) return event.preventDefault();
      form.dataset.sent = "yes";
      const button = event.submitter;
      if (!button) return;
      button.setAttribute("aria-disabled", "true");
      if (button.dataset.busy) button.querySelector("span").textContent = button.dataset.busy;
    });
  }
  // A page brought back by the Back button must be able to send again; the server knows a used token.
  window.addEventListener("pageshow", (event) => { if (event.persisted) location.reload(); });
}

// A template needs its sender: the folded fields open with that choice, where the stylesheet alone cannot do it.
function templateFields() {
  const choice = document.getElementById("type-whatsapp-template");
  choice?.addEventListener("change", () => { document.getElementById("own-whatsapp").open = true; });
}

// An own text needs a sender of one's own: OTPIQ's cannot be chosen for it, and is chosen again when it can.
function ownTexts() {
  const own = document.querySelector("[data-own-sender]");
  const custom = document.getElementById("type-custom");
  if (!own || !custom) return;
  let wasOwn = false;
  const fit = () => {
    own.disabled = custom.checked;
    if (custom.checked && own.checked) {
      wasOwn = true;
      own.checked = false;
      const first = own.form.querySelector('[name="senderId"]:enabled');
      if (first) first.checked = true;
    } else if (!custom.checked && wasOwn) {
      wasOwn = false;
      own.checked = true;
    }
  };
  for (const type of own.form.querySelectorAll('[name="smsType"]')) type.addEventListener("change", fit);
  fit();
}

function countdowns() {
  for (const clock of document.querySelectorAll("[data-countdown]")) {
    const until = Date.now() + Number(clock.dataset.countdown) * 60000;
    const button = document.querySelector("[data-send]");
    if (button) button.disabled = true;
    clock.hidden = false;
    const tick = setInterval(show, 1000);
    show();
    function show() {
      const left = Math.max(0, Math.round((until - Date.now()) / 1000));
      clock.textContent = `${Math.floor(left / 60)}:${String(left % 60).padStart(2, "0")}`;
      if (left) return;
      clearInterval(tick);
      if (button) button.disabled = false;
    }
  }
}

// A menu closes when one turns to something else.
function menus() {
  const open = () => document.querySelector(".me[open]");
  document.addEventListener("click", (event) => { if (!open()?.contains(event.target)) open()?.removeAttribute("open"); });
  document.addEventListener("keydown", (event) => {
    if (event.key !== "Escape" || !open()) return;
    open().querySelector("summary").focus();
    open().removeAttribute("open");
  });
}

function freshTimes() {
  for (const time of document.querySelectorAll("time[data-ago]")) {
    const passed = Math.max(0, (Date.now() - Date.parse(time.dateTime)) / 1000);
    const [unit, length] = AGO_UNITS.find(([, length]) => passed >= length) ?? ["agoSecond", 1];
    const text = document.body.dataset[unit].replace("{n}", Math.floor(passed / length));
    if (time.textContent !== text) time.textContent = text;
  }
}

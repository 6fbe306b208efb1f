// What is pleasant but not needed: every page does its work without this.

// The copy button. Browsers give pages a clipboard only over https and on this computer.
for (const button of document.querySelectorAll("[data-copy]")) {
  const field = document.getElementById(button.dataset.copy);
  const told = document.querySelector("[data-told]");
  const byHand = () => {
    field.focus();
    field.select();
    told.textContent = button.dataset.byHand;
  };
  button.hidden = false;
  button.addEventListener("click", async () => {
    if (!navigator.clipboard) return byHand();
    try {
      await navigator.clipboard.writeText(field.value);
      told.textContent = button.dataset.copied;
    } catch {
      byHand();
    }
  });
  field.addEventListener("focus", () => field.select());
}

// A browser may keep a page alive to go back to it. The secret must not be on it then.
const secrets = document.querySelectorAll("[data-secret] input");
if (secrets.length) {
  addEventListener("pagehide", () => secrets.forEach((field) => { field.value = ""; }));
  addEventListener("pageshow", (event) => {
    if (event.persisted) location.replace(document.querySelector(".brand").href);
  });
}

// Times, in the zone of whoever looks; the time in UTC is a hover away.
const whole = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "short" });
const day = new Intl.DateTimeFormat(undefined, { dateStyle: "medium" });
for (const time of document.querySelectorAll("time[datetime]")) {
  const moment = new Date(time.dateTime);
  if (Number.isNaN(moment.getTime())) continue;
  time.title ||= time.textContent;
  time.textContent = ("day" in time.dataset ? day : whole).format(moment);
}

// The live view: what happens is put on top. Without this, the page shows what came until it is looked at again.
const live = document.querySelector("[data-live]");
if (live) {
  const [rows, blank] = [live.querySelector("tbody"), live.querySelector("template")];
  const told = document.querySelector("[data-live-told]");
  const second = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "medium" });
  let { after } = live.dataset;
  const show = ({ data, lastEventId }) => {
    const [values, row] = [JSON.parse(data), blank.content.cloneNode(true)];
    after = lastEventId;
    for (const part of row.querySelectorAll("[data-of]")) part.textContent = values[part.dataset.of] ?? "";
    const time = row.querySelector("time");
    [time.dateTime, time.title, time.textContent] = [values.at, values.at, second.format(new Date(values.at))];
    rows.prepend(row);
    while (rows.rows.length > 256) rows.deleteRow(-1);
  };
  const listen = () => {
    const source = new EventSource(`${live.dataset.live}?after=${encodeURIComponent(after)}`);
    source.onopen = () => { told.textContent = live.dataset.listening; };
    source.onerror = () => {
      told.textContent = live.dataset.lost;
      // A browser comes again by itself after a stream that ended, but not after a refusal.
      if (source.readyState === EventSource.CLOSED) setTimeout(listen, 10_000);
    };
    for (const kind of ["refused", "would_refuse", "first_use"]) source.addEventListener(kind, show);
    source.addEventListener("dropped", ({ data }) => {
      told.textContent = live.dataset.dropped.replace("{number}", JSON.parse(data).dropped);
    });
  };
  listen();
}

// A form is sent once, however often its button is pressed. The server would notice, too.
for (const form of document.querySelectorAll("form[method=post]")) {
  form.addEventListener("submit", (event) => {
    if (form.dataset.sent) return event.preventDefault();
    form.dataset.sent = "yes";
    for (const button of form.querySelectorAll("[type=submit]")) button.setAttribute("aria-disabled", "true");
  });
}
addEventListener("pageshow", () => {
  for (const form of document.querySelectorAll("form[data-sent]")) {
    delete form.dataset.sent;
    for (const button of form.querySelectorAll("[type=submit]")) button.removeAttribute("aria-disabled");
  }
});

// The link of `keystile dashboard` carries its token behind the #, which browsers send to nobody.
const login = document.querySelector("form[data-login]");
if (login && location.hash.length > 1) {
  login.elements.token.value = location.hash.slice(1);
  history.replaceState(null, "", location.pathname);
  login.querySelector("[type=submit]").textContent = login.dataset.login;
  login.requestSubmit();
}

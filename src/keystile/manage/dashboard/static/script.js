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

// What went wrong is read first.
document.querySelector(".problem")?.focus();

// The link of `keystile dashboard` carries its token behind the #, which browsers send to nobody.
const login = document.querySelector("form[data-login]");
if (login && location.hash.length > 1) {
  login.elements.token.value = location.hash.slice(1);
  history.replaceState(null, "", location.pathname);
  login.querySelector("[type=submit]").textContent = login.dataset.login;
  login.requestSubmit();
}

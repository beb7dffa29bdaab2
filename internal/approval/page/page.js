// The page works without this. It adds copy buttons and the reader's own time,
// and chooses the browser's time zone for a planned switch.
(() => {
  "use strict";

  const own = Intl.DateTimeFormat().resolvedOptions().timeZone;

  const zone = document.querySelector("select[data-guess]");
  if (zone && own) {
    if (![...zone.options].some((o) => o.value === own)) {
      zone.add(new Option(own.replaceAll("_", " "), own), 0);
    }
    zone.value = own;
  }

  const local = new Intl.DateTimeFormat("en-GB", {
    weekday: "short", day: "numeric", month: "short", hour: "2-digit", minute: "2-digit", timeZoneName: "short",
  });
  for (const time of document.querySelectorAll("time[datetime]")) {
    const at = new Date(time.dateTime);
    const part = Object.fromEntries(local.formatToParts(at).map((p) => [p.type, p.value]));
    const same = (at.getTimezoneOffset() === 0);
    if (Number.isNaN(at.getTime()) || same) continue;
    const day = at.getDate() === at.getUTCDate() ? "" : `${part.weekday}, ${part.day} ${part.month}, `;
    const note = document.createElement("span");
    note.className = "local";
    note.textContent = ` (${day}${part.hour}:${part.minute} ${part.timeZoneName})`;
    time.append(note);
  }

  const status = document.createElement("p");
  status.className = "hidden";
  status.setAttribute("role", "status");
  document.querySelector("main").append(status);
  for (const source of document.querySelectorAll("[data-copy]")) {
    const name = document.getElementById(source.dataset.copy);
    const button = document.createElement("button");
    button.type = "button";
    button.className = "copy";
    button.textContent = "Copy";
    if (name) button.setAttribute("aria-describedby", name.id);
    button.addEventListener("click", async () => {
      let done = "Copied";
      try {
        await navigator.clipboard.writeText(source.textContent);
      } catch {
        getSelection().selectAllChildren(source);
        done = "Selected: copy it now";
      }
      button.textContent = done;
      status.textContent = done;
      setTimeout(() => { button.textContent = "Copy"; status.textContent = ""; }, 3000);
    });
    source.after(button);
  }

  const open = () => {
    const to = location.hash === "#text" && document.getElementById("text");
    if (to) to.open = true;
  };
  addEventListener("hashchange", open);
  open();

  addEventListener("beforeprint", () => {
    const text = document.getElementById("text");
    if (text) text.open = true;
  });
})();

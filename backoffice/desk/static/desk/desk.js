// Keyboard and form manners of the desk. Own file: the content security policy allows no inline script.
(function () {
  "use strict";

  const PREFIX_MS = 1500;
  // Before any time: a letter in the first moments of a page is no second letter.
  let prefixAt = -Infinity;

  function isTyping(target) {
    return target.isContentEditable || ["INPUT", "TEXTAREA", "SELECT"].includes(target.tagName);
  }

  function menuLinks() {
    return Array.from(document.querySelectorAll("#nav-sidebar-apps a[href]"));
  }

  function go(letter) {
    const link = menuLinks().find((item) => item.textContent.trim().toLowerCase().startsWith(letter));
    if (link) window.location.assign(link.href);
  }

  function help() {
    let dialog = document.getElementById("bo-help");
    if (!dialog) {
      dialog = document.createElement("dialog");
      dialog.id = "bo-help";
      dialog.className = "bo-help";
      dialog.setAttribute("aria-labelledby", "bo-help-title");
      const rows = [
        ["/", "Search this list"],
        ["Ctrl K", "Find a page or an object"],
        ["g then a letter", "Open the first page of the menu that begins with it"],
        ["?", "This help"],
        ["Esc", "Close"],
      ];
      const title = document.createElement("h2");
      title.id = "bo-help-title";
      title.textContent = "Keyboard";
      const list = document.createElement("dl");
      for (const [key, text] of rows) {
        const term = document.createElement("dt");
        const mark = document.createElement("kbd");
        mark.textContent = key;
        term.append(mark);
        const meaning = document.createElement("dd");
        meaning.textContent = text;
        list.append(term, meaning);
      }
      const close = document.createElement("button");
      close.type = "button";
      close.className = "bo-button bo-button-quiet";
      close.textContent = "Close";
      close.addEventListener("click", () => dialog.close());
      dialog.append(title, list, close);
      document.body.append(dialog);
    }
    if (!dialog.open) dialog.showModal();
  }

  // A long menu shows where one is.
  document.addEventListener("DOMContentLoaded", () => {
    const menu = document.getElementById("nav-sidebar-apps");
    const here = menu && menu.querySelector("a.active");
    if (!here) return;
    const below = here.getBoundingClientRect().bottom - menu.getBoundingClientRect().bottom;
    if (below > 0) menu.scrollTop += below + menu.clientHeight / 3;
  });

  document.addEventListener("keydown", (event) => {
    if (isTyping(event.target) || event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.timeStamp - prefixAt < PREFIX_MS && /^[a-z]$/.test(event.key)) {
      prefixAt = -Infinity;
      event.preventDefault();
      go(event.key);
    } else if (event.key === "g") {
      prefixAt = event.timeStamp;
    } else if (event.key === "/") {
      const field = document.getElementById("searchbar") || document.querySelector(".bo-filter input");
      event.preventDefault();
      if (field) field.focus();
      else window.dispatchEvent(new CustomEvent("opencommand"));
    } else if (event.key === "?") {
      event.preventDefault();
      help();
    }
  });

  // A form that acts is sent once; the server's idempotency key guards what the browser cannot.
  document.addEventListener("submit", (event) => {
    const form = event.target;
    if (!form.matches("form[data-once]")) return;
    if (form.dataset.sent) {
      event.preventDefault();
      return;
    }
    form.dataset.sent = "yes";
    form.setAttribute("aria-busy", "true");
  });

  // The theme writes a chosen file's name into the next text field it finds, which in our forms is a field of its own.
  document.addEventListener("change", (event) => {
    if (event.target.matches(".bo-action input[type=file]")) event.stopPropagation();
  }, true);

  window.addEventListener("pageshow", () => {
    for (const form of document.querySelectorAll("form[data-once]")) delete form.dataset.sent;
  });

  document.addEventListener("click", (event) => {
    if (event.target.closest("[data-back]")) window.history.back();
    for (const menu of document.querySelectorAll("details.bo-more[open]")) {
      if (!menu.contains(event.target)) menu.open = false;
    }
  });

  document.addEventListener("keydown", (event) => {
    const menu = document.querySelector("details.bo-more[open]");
    if (event.key !== "Escape" || !menu) return;
    menu.open = false;
    menu.querySelector("summary").focus();
  });
})();

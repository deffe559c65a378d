// The tree of partners: branches are fetched when they are opened, arrow keys move, the way the ARIA tree pattern says.
// Without this script every branch is a link that opens it in a new page.
"use strict";

(() => {
  const tree = document.querySelector(".dc-tree");
  if (!tree) return;
  const status = document.getElementById("dc-tree-status");
  const TYPING_MS = 600;
  let typed = "";
  let typedAt = 0;

  const items = () => [...tree.querySelectorAll('[role="treeitem"]')].filter((item) => item.offsetParent !== null);
  const group = (item) => item.querySelector(':scope > [role="group"]');
  const parent = (item) => item.parentElement.closest('[role="treeitem"]');
  const say = (words) => { if (status) status.textContent = words; };

  function focus(item) {
    if (!item) return;
    for (const other of tree.querySelectorAll('[role="treeitem"][tabindex="0"]')) other.tabIndex = -1;
    item.tabIndex = 0;
    item.focus();
  }

  function prepare(root) {
    for (const item of root.querySelectorAll('[role="treeitem"]')) item.tabIndex = -1;
    for (const link of root.querySelectorAll(".dc-label a")) link.tabIndex = -1;
  }

  async function open(item) {
    if (item.getAttribute("aria-expanded") !== "false" || item.getAttribute("aria-busy") === "true") return;
    let below = group(item);
    if (!below) {
      item.setAttribute("aria-busy", "true");
      try {
        const answer = await fetch(item.dataset.url, { headers: { Accept: "text/html" }, credentials: "same-origin" });
        if (!answer.ok || answer.redirected) throw new Error(String(answer.status));
        below = document.createElement("ul");
        below.setAttribute("role", "group");
        below.innerHTML = await answer.text();
        prepare(below);
        item.append(below);
      } catch {
        say("This branch could not be opened. Try again.");
        return;
      } finally {
        item.removeAttribute("aria-busy");
      }
    }
    below.hidden = false;
    item.setAttribute("aria-expanded", "true");
    say(`${below.children.length} partners opened.`);
  }

  function close(item) {
    const below = group(item);
    if (below) below.hidden = true;
    item.setAttribute("aria-expanded", "false");
  }

  function find(letters) {
    const all = items();
    const here = all.indexOf(document.activeElement);
    const following = [...all.slice(here + 1), ...all.slice(0, here + 1)];
    const names = (item) => item.querySelector(".dc-label a").textContent.toLowerCase();
    focus(following.find((item) => names(item).split(" ").some((word) => word.startsWith(letters))));
  }

  const keys = {
    ArrowDown: (item) => { const all = items(); focus(all[all.indexOf(item) + 1]); },
    ArrowUp: (item) => { const all = items(); focus(all[all.indexOf(item) - 1]); },
    ArrowRight: (item) => {
      const state = item.getAttribute("aria-expanded");
      if (state === "false") open(item);
      else if (state === "true") focus(group(item)?.firstElementChild);
    },
    ArrowLeft: (item) => (item.getAttribute("aria-expanded") === "true" ? close(item) : focus(parent(item))),
    Home: () => focus(items()[0]),
    End: () => focus(items().at(-1)),
    Enter: (item) => { window.location.assign(item.dataset.go); },
    " ": (item) => (item.getAttribute("aria-expanded") === "true" ? close(item) : open(item)),
  };

  tree.addEventListener("keydown", (event) => {
    const item = event.target.closest('[role="treeitem"]');
    if (!item || event.ctrlKey || event.metaKey || event.altKey) return;
    if (keys[event.key]) {
      event.preventDefault();
      keys[event.key](item);
    } else if (event.key.length === 1) {
      typed = event.timeStamp - typedAt > TYPING_MS ? event.key : typed + event.key;
      typedAt = event.timeStamp;
      find(typed.toLowerCase());
    }
  });

  tree.addEventListener("click", (event) => {
    const toggle = event.target.closest("a.dc-toggle");
    if (!toggle) return;
    event.preventDefault();
    const item = toggle.closest('[role="treeitem"]');
    if (item.getAttribute("aria-expanded") === "true") close(item);
    else open(item);
    focus(item);
  });

  prepare(tree);
  const chosen = tree.querySelector('[aria-selected="true"]') || tree.querySelector('[role="treeitem"]');
  if (chosen) {
    chosen.tabIndex = 0;
    if (new URLSearchParams(window.location.search).has("open")) chosen.scrollIntoView({ block: "center" });
  }
})();

// Keeps the server board fresh while it is looked at, and says how old it is.
(function () {
  "use strict";

  const board = document.getElementById("srv-board");
  const state = document.querySelector("[data-srv-state]");
  if (!board || !state) {
    return;
  }
  const refreshSeconds = Number(board.dataset.refresh);
  let fetchedAt = performance.now();
  let failures = 0;
  let asking = false;

  function show() {
    state.hidden = false;
    const seconds = Math.floor((performance.now() - fetchedAt) / 1000);
    const late = failures > 0 && seconds > 3 * refreshSeconds;
    state.dataset.tone = late ? "bad" : "good";
    state.textContent = late ? "Not refreshed for " + seconds + " s" : "Live, " + seconds + " s ago";
  }

  async function refresh() {
    if (document.hidden || asking) {
      return;
    }
    asking = true;
    try {
      const answer = await fetch(board.dataset.url, { headers: { Accept: "application/json" }, redirect: "error" });
      if (!answer.ok) {
        throw new Error(String(answer.status));
      }
      replace((await answer.json()).html);
      fetchedAt = performance.now();
      failures = 0;
    } catch (error) {
      failures += 1;
    }
    asking = false;
    show();
  }

  function replace(html) {
    // Whoever reads a table or stands on a link keeps the place.
    const wrap = board.querySelector(".bo-table-wrap");
    const left = wrap ? wrap.scrollLeft : 0;
    const links = Array.from(board.querySelectorAll("a, [tabindex]"));
    const focused = links.indexOf(document.activeElement);
    board.innerHTML = html;
    const fresh = board.querySelector(".bo-table-wrap");
    if (fresh) {
      fresh.scrollLeft = left;
    }
    if (focused >= 0) {
      const again = Array.from(board.querySelectorAll("a, [tabindex]"))[focused];
      if (again) {
        again.focus({ preventScroll: true });
      }
    }
  }

  show();
  setInterval(show, 1000);
  setInterval(refresh, refreshSeconds * 1000);
  document.addEventListener("visibilitychange", refresh);
})();

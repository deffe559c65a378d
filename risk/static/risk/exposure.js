// Keeps the exposure page fresh and shows how old its figures are. While a live stream brings each calculation, nothing
// is asked for; without one the page asks every few seconds and says so.
(function () {
  "use strict";

  const box = document.getElementById("risk-exposure");
  const state = document.querySelector("[data-risk-state]");
  if (!box || !state) {
    return;
  }
  const refreshSeconds = Number(box.dataset.refresh);
  const staleAfter = Number(box.dataset.staleAfter);
  // The server says how old the figures are; from then on this computer's own seconds are added, so that a wrong
  // clock here cannot make old figures look young.
  let age = box.dataset.age === undefined ? null : Number(box.dataset.age);
  let since = performance.now();
  let failures = 0;
  let live = false;

  function show() {
    state.hidden = false;
    if (failures > 0) {
      state.dataset.tone = "bad";
      state.textContent = "Not refreshed: the server does not answer";
      return;
    }
    if (age === null) {
      state.dataset.tone = "";
      state.textContent = "Nothing calculated yet";
      return;
    }
    const seconds = Math.floor(age + (performance.now() - since) / 1000);
    const stale = seconds > staleAfter;
    state.dataset.tone = stale ? "bad" : live ? "good" : "";
    state.dataset.mode = live ? "live" : "delayed";
    const word = stale ? "Stale: " : live ? "Live, " : "Delayed up to " + refreshSeconds + " s, ";
    state.textContent = word + "calculated " + seconds + " s ago";
  }

  async function refresh() {
    if (document.hidden || live) {
      return;
    }
    try {
      const answer = await fetch(box.dataset.url, { headers: { Accept: "application/json" }, redirect: "error" });
      if (!answer.ok) {
        throw new Error(String(answer.status));
      }
      take(await answer.json());
    } catch (error) {
      failures += 1;
    }
    show();
  }

  function take(fresh) {
    age = fresh.age_seconds;
    since = performance.now();
    failures = 0;
    replace(fresh.html);
  }

  box.addEventListener("stream", (event) => {
    if (event.detail.event === "exposure") {
      take(event.detail.data);
      show();
    }
  });
  box.addEventListener("streamstate", (event) => {
    live = event.detail.live;
    show();
  });

  function replace(html) {
    // A table that somebody scrolled or stands in keeps its place.
    const scrolled = Array.from(box.querySelectorAll(".bo-table-wrap")).map((wrap) => wrap.scrollLeft);
    const focused = Array.from(box.querySelectorAll(".bo-table-wrap")).indexOf(document.activeElement);
    box.innerHTML = html;
    box.querySelectorAll(".bo-table-wrap").forEach((wrap, place) => {
      wrap.scrollLeft = scrolled[place] || 0;
      if (place === focused) {
        wrap.focus({ preventScroll: true });
      }
    });
  }

  show();
  setInterval(show, 1000);
  setInterval(refresh, refreshSeconds * 1000);
  document.addEventListener("visibilitychange", refresh);
})();

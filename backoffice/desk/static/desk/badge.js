// The figure in the header: asked for now and then, and at once when a live stream says that something changed
// (an event "bo:work" on the document). The sound is made here, so that no file is loaded; it is each person's choice.
(function () {
  "use strict";

  const PERIOD_MS = 60000;

  function chime() {
    const Context = window.AudioContext || window.webkitAudioContext;
    if (!Context) return;
    const context = new Context();
    // Browsers let a page sound only after somebody has touched it.
    if (context.state !== "running") {
      context.close();
      return;
    }
    const volume = context.createGain();
    volume.connect(context.destination);
    volume.gain.setValueAtTime(0.12, context.currentTime);
    volume.gain.exponentialRampToValueAtTime(0.001, context.currentTime + 0.6);
    for (const [pitch, start] of [[660, 0], [880, 0.15]]) {
      const tone = context.createOscillator();
      tone.frequency.value = pitch;
      tone.connect(volume);
      tone.start(context.currentTime + start);
      tone.stop(context.currentTime + start + 0.3);
    }
    window.setTimeout(() => context.close(), 1000);
  }

  function show(badge, waiting) {
    const count = badge.querySelector(".bo-bell-count");
    const before = Number(count.dataset.waiting || count.textContent.replace(/\D/g, "") || 0);
    count.dataset.waiting = String(waiting);
    count.textContent = waiting.toLocaleString("en-US");
    count.hidden = waiting === 0;
    badge.setAttribute("aria-label", `Inbox, ${count.textContent} waiting`);
    if (waiting > before && "sound" in badge.dataset) chime();
  }

  async function ask(badge) {
    if (document.hidden && !("sound" in badge.dataset)) return;
    try {
      const answer = await fetch(badge.dataset.state, { credentials: "same-origin", headers: { Accept: "application/json" } });
      if (answer.ok) show(badge, Number((await answer.json()).waiting));
    } catch {
      // The next period asks again.
    }
  }

  document.addEventListener("DOMContentLoaded", () => {
    const badge = document.querySelector("[data-work-badge]");
    if (!badge) return;
    window.setInterval(() => ask(badge), PERIOD_MS);
    document.addEventListener("bo:work", (event) => {
      if (event.detail && Number.isInteger(event.detail.waiting)) show(badge, event.detail.waiting);
      else ask(badge);
    });
    document.addEventListener("visibilitychange", () => { if (!document.hidden) ask(badge); });
  });
})();

// Waits for a study: asks how far it is, and shows the page anew when it is over.
document.addEventListener("DOMContentLoaded", function () {
  "use strict";

  const place = document.querySelector("[data-study]");
  if (!place) {
    return;
  }
  const bar = place.querySelector("progress");
  const state = place.querySelector("[data-part='state']");
  const pause = 1000;

  async function refresh() {
    let wait = pause;
    try {
      const answer = await fetch(place.dataset.study, { headers: { Accept: "application/json" }, redirect: "error" });
      if (!answer.ok) {
        throw new Error(String(answer.status));
      }
      const study = await answer.json();
      if (study.is_over) {
        window.location.reload();
        return;
      }
      bar.value = study.percent;
      state.textContent = study.state;
    } catch (error) {
      state.textContent = "The server does not answer; trying again";
      wait = pause * 5;
    }
    setTimeout(refresh, wait);
  }

  setTimeout(refresh, pause);
});

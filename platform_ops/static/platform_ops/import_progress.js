// Keeps the progress of an upload fresh: asks how far its files are until all are done.
(function () {
  "use strict";

  const table = document.querySelector("[data-imports]");
  const summary = document.querySelector("[data-import-summary]");
  if (!table || !summary) {
    return;
  }
  const pause = Number(table.dataset.refresh);
  const tones = { stored: "good", refused: "bad" };

  function write(row, part, text) {
    row.querySelector("[data-part='" + part + "']").textContent = text;
  }

  function show(file) {
    const row = table.querySelector("[data-import='" + file.id + "']");
    row.querySelector("progress").value = file.percent;
    write(row, "state", file.state_shown);
    row.querySelector("[data-part='state']").className =
      "bo-badge bo-badge-" + (tones[file.state] || (file.problem ? "bad" : "info"));
    write(row, "problem", file.problem);
    for (const part of ["rows", "new_deals", "corrected_deals"]) {
      write(row, part, file[part]);
    }
    write(row, "summary", { true: "Agrees", false: "Disagrees" }[String(file.matches_statement)] || "");
  }

  async function refresh() {
    let wait = pause;
    try {
      const answer = await fetch(table.dataset.url, { headers: { Accept: "application/json" }, redirect: "error" });
      if (!answer.ok) {
        throw new Error(String(answer.status));
      }
      const files = (await answer.json()).imports;
      files.forEach(show);
      const done = files.filter((file) => file.is_done).length;
      summary.textContent = done + " of " + files.length + " files are done.";
      if (done === files.length) {
        return;
      }
    } catch (error) {
      summary.textContent = "The server does not answer; trying again.";
      wait = pause * 5;
    }
    setTimeout(refresh, wait);
  }

  refresh();
})();

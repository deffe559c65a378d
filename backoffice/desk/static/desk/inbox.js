// The inbox by keyboard: j and k move, x chooses, t takes, Enter opens.
(function () {
  "use strict";

  const form = document.getElementById("inbox-form");
  if (!form) return;
  const rows = Array.from(form.querySelectorAll("tbody tr[data-href]"));
  let at = -1;

  function boxOf(row) {
    return row.querySelector("input[name=items]");
  }

  function move(to) {
    if (!rows.length) return;
    if (rows[at]) rows[at].classList.remove("bo-inbox-at");
    at = Math.max(0, Math.min(rows.length - 1, to));
    rows[at].classList.add("bo-inbox-at");
    rows[at].querySelector("a").focus({ preventScroll: true });
    rows[at].scrollIntoView({ block: "nearest" });
  }

  function take() {
    const box = rows[at] && boxOf(rows[at]);
    const button = form.querySelector("button[value=take]");
    if (!button) return;
    if (box && !rows.some((row) => boxOf(row) && boxOf(row).checked)) box.checked = true;
    form.requestSubmit(button);
  }

  document.addEventListener("keydown", (event) => {
    const typing = ["TEXTAREA", "SELECT"].includes(event.target.tagName)
      || (event.target.tagName === "INPUT" && event.target.type !== "checkbox");
    if (typing || event.defaultPrevented || event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.key === "j") move(at + 1);
    else if (event.key === "k") move(at - 1);
    else if (event.key === "x" && rows[at] && boxOf(rows[at])) boxOf(rows[at]).checked = !boxOf(rows[at]).checked;
    else if (event.key === "t") take();
    else if (event.key === "Enter" && rows[at] && event.target.tagName !== "A" && event.target.tagName !== "BUTTON") {
      window.location.assign(rows[at].dataset.href);
    } else return;
    event.preventDefault();
  });

  const all = form.querySelector("[data-all]");
  if (all) {
    all.addEventListener("change", () => {
      for (const row of rows) if (boxOf(row)) boxOf(row).checked = all.checked;
    });
  }
})();

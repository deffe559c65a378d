// Shows of a rule's form what makes sense for the chosen basis and way of sharing; what is hidden is emptied.
(function () {
  "use strict";

  const basis = document.getElementById("id_basis");
  const way = document.getElementById("id_distribution");
  if (!basis || !way) return;

  function wrapperOf(input) {
    let node = input;
    while (node.parentElement && !node.parentElement.classList.contains("bo-action-fields")) node = node.parentElement;
    return node;
  }

  function isShown(input) {
    const bases = input.dataset.bases;
    const ways = input.dataset.ways;
    return (!bases || bases.split(" ").includes(basis.value)) && (!ways || ways.split(" ").includes(way.value));
  }

  function empty(input) {
    if (input.tagName === "TABLE") input.querySelectorAll("input").forEach((cell) => { cell.value = ""; });
    else if (input.type === "checkbox") input.checked = false;
    else if (input.tagName === "SELECT") input.selectedIndex = 0;
    else input.value = "";
  }

  function arrange() {
    document.querySelectorAll("[data-bases], [data-ways]").forEach((input) => {
      const shown = isShown(input);
      wrapperOf(input).hidden = !shown;
      if (!shown) empty(input);
    });
  }

  function grow(table) {
    const body = table.tBodies[0];
    const last = body.rows[body.rows.length - 1];
    if (body.rows.length >= 50 || !Array.from(last.querySelectorAll("input")).some((cell) => cell.value)) return;
    const row = last.cloneNode(true);
    row.querySelectorAll("input").forEach((cell) => {
      cell.value = "";
      cell.name = cell.name.replace(/_(\d+)_/, (_, number) => "_" + (Number(number) + 1) + "_");
      cell.setAttribute("aria-label", cell.getAttribute("aria-label").replace(/\d+$/, (number) => Number(number) + 1));
    });
    body.append(row);
  }

  basis.addEventListener("change", arrange);
  way.addEventListener("change", arrange);
  document.querySelectorAll("[data-grid]").forEach((table) => table.addEventListener("input", () => grow(table)));
  arrange();
})();

// Editing the swap grid by keyboard: arrows and Enter move, a pasted block fills, Escape takes a figure back, the server
// judges every block of cells and answers with the rows as they are then. Nothing is computed here.
(function () {
  "use strict";

  const table = document.querySelector("[data-swap-grid]");
  if (!table) {
    return;
  }
  const said = document.querySelector("[data-said]");
  const summary = document.querySelector("[data-summary]");
  const COLUMNS = ["long", "short"];
  const MAX_CELLS = 1000;
  let queue = Promise.resolve();

  function say(text, isBad) {
    said.textContent = text;
    said.dataset.tone = isBad ? "bad" : "";
  }

  function rows() {
    return Array.from(table.querySelectorAll("[data-row]"));
  }

  function figure(row, field) {
    return row ? row.querySelector("[data-field='" + field + "']") : null;
  }

  function neighbour(input, down, right) {
    const all = rows();
    const place = all.indexOf(input.closest("[data-row]")) + down;
    const column = COLUMNS.indexOf(input.dataset.field) + right;
    if (column < 0 || column >= COLUMNS.length) {
      return figure(all[place + (right > 0 ? 1 : -1)], COLUMNS[right > 0 ? 0 : COLUMNS.length - 1]);
    }
    return figure(all[place], COLUMNS[column]);
  }

  function go(input) {
    if (input) {
      input.focus();
      input.select();
      input.scrollIntoView({ block: "nearest" });
    }
  }

  function edit(input) {
    return { row: Number(input.closest("[data-row]").dataset.row), field: input.dataset.field, value: input.value.trim(), was: input.dataset.was };
  }

  function draw(row) {
    const line = table.querySelector("[data-row='" + row.id + "']");
    if (!line) {
      return;
    }
    line.dataset.state = row.state;
    for (const cell of line.querySelectorAll("[data-cell]")) {
      cell.textContent = row[cell.dataset.cell];
    }
    line.querySelector("[data-cell='change']").classList.toggle("bo-neg", row.is_worse);
    for (const input of line.querySelectorAll("input[data-field]")) {
      const value = row[input.dataset.field];
      const isTouched = input === document.activeElement && input.value.trim() !== input.dataset.was && input.value !== value;
      input.dataset.was = value;
      if (!isTouched) {
        input.value = value;
      }
    }
    const found = line.querySelector("[data-found]");
    found.replaceChildren(
      ...row.findings.map(function (finding) {
        const item = document.createElement("li");
        item.className = "sw-" + finding.weight;
        item.textContent = finding.message;
        return item;
      })
    );
    line.querySelector("[data-field='explanation']").hidden = !row.needs_explanation;
    line.querySelector("[data-look]").hidden = row.findings.length === 0 && row.state !== "missing" && !row.explanation;
    const keep = line.querySelector(".sw-keep");
    if (keep) {
      keep.hidden = row.state !== "missing";
    }
  }

  function sumUp(figures) {
    for (const part of summary.querySelectorAll("[data-sum]")) {
      part.textContent = figures[part.dataset.sum];
    }
    for (const part of summary.querySelectorAll("[data-tone]")) {
      if (part !== said) {
        part.classList.toggle("sw-bad", figures[part.dataset.tone] > 0);
      }
    }
  }

  async function send(inputs) {
    const edits = inputs.map(edit).filter(function (cell) { return cell.value !== cell.was; });
    if (edits.length === 0) {
      return;
    }
    if (edits.length > MAX_CELLS) {
      say("At most " + MAX_CELLS + " cells at once.", true);
      return;
    }
    inputs.forEach(function (input) { input.classList.add("sw-saving"); });
    try {
      const answer = await fetch(table.dataset.url, {
        method: "POST",
        headers: { "Content-Type": "application/json", "X-CSRFToken": table.dataset.token, Accept: "application/json" },
        body: JSON.stringify({ edits: edits }),
        redirect: "error",
      });
      const data = await answer.json();
      if (answer.ok) {
        inputs.forEach(function (input) { input.removeAttribute("aria-invalid"); });
        data.rows.forEach(draw);
        sumUp(data.summary);
        const blocked = data.rows.filter(function (row) { return row.state === "blocked"; });
        const told = blocked.map(function (row) {
          const cost = row.then ? ": a night " + row.then + " instead of " + row.now + " " + data.summary.currency : "";
          return row.name + " is blocked" + cost;
        });
        say(told.length ? told.join("; ") + "." : edits.length + (edits.length === 1 ? " cell" : " cells") + " saved.", told.length > 0);
      } else {
        inputs.forEach(function (input) {
          const isIt = !data.row || (Number(input.closest("[data-row]").dataset.row) === data.row && input.dataset.field === data.field);
          input.setAttribute("aria-invalid", String(isIt));
        });
        say(data.message, true);
      }
    } catch (error) {
      say("The server does not answer: nothing was saved. Leave the cell again to repeat.", true);
    }
    inputs.forEach(function (input) { input.classList.remove("sw-saving"); });
  }

  function save(inputs) {
    queue = queue.then(function () { return send(inputs); });
    return queue;
  }

  function takeBack(input) {
    input.value = input.dataset.was;
    input.removeAttribute("aria-invalid");
    input.select();
    say("Taken back.", false);
  }

  table.addEventListener("keydown", function (event) {
    const input = event.target.closest("input[data-field]");
    if (!input || event.ctrlKey || event.metaKey || event.altKey) {
      return;
    }
    if (event.key === "Escape") {
      event.preventDefault();
      takeBack(input);
      return;
    }
    if (input.dataset.field === "explanation") {
      if (event.key === "Enter") {
        event.preventDefault();
        save([input]);
      }
      return;
    }
    const isWhole = input.selectionStart === 0 && input.selectionEnd === input.value.length;
    const atStart = isWhole || (input.selectionStart === 0 && input.selectionEnd === 0);
    const atEnd = isWhole || (input.selectionStart === input.value.length && input.selectionEnd === input.value.length);
    let next = null;
    if (event.key === "ArrowDown" || (event.key === "Enter" && !event.shiftKey)) {
      next = neighbour(input, 1, 0);
    } else if (event.key === "ArrowUp" || (event.key === "Enter" && event.shiftKey)) {
      next = neighbour(input, -1, 0);
    } else if (event.key === "ArrowLeft" && atStart) {
      next = neighbour(input, 0, -1);
    } else if (event.key === "ArrowRight" && atEnd) {
      next = neighbour(input, 0, 1);
    } else {
      return;
    }
    event.preventDefault();
    if (next) {
      go(next);
    } else if (event.key === "Enter") {
      save([input]);
    }
  });

  table.addEventListener("focusin", function (event) {
    if (event.target.matches(".sw-figure")) {
      event.target.select();
    }
  });

  table.addEventListener("change", function (event) {
    if (event.target.matches("input[data-field]")) {
      save([event.target]);
    }
  });

  table.addEventListener("paste", function (event) {
    const input = event.target.closest(".sw-figure");
    const text = event.clipboardData.getData("text").replace(/\r/g, "").replace(/\n$/, "");
    if (!input || !/[\t\n]/.test(text)) {
      return;
    }
    event.preventDefault();
    const all = rows();
    const from = all.indexOf(input.closest("[data-row]"));
    const column = COLUMNS.indexOf(input.dataset.field);
    const touched = [];
    let beyond = 0;
    text.split("\n").forEach(function (line, down) {
      line.split("\t").forEach(function (value, right) {
        const cell = column + right < COLUMNS.length ? figure(all[from + down], COLUMNS[column + right]) : null;
        if (cell) {
          cell.value = value.trim();
          touched.push(cell);
        } else {
          beyond += 1;
        }
      });
    });
    if (beyond > 0) {
      touched.forEach(function (cell) { cell.value = cell.dataset.was; });
      say("The block is larger than the grid from here on: " + beyond + " cells would be lost, so none was taken.", true);
      return;
    }
    save(touched);
  });

  window.addEventListener("beforeunload", function (event) {
    const isOpen = Array.from(table.querySelectorAll("input[data-field]")).some(function (input) {
      return input.value.trim() !== input.dataset.was;
    });
    if (isOpen) {
      event.preventDefault();
    }
  });
})();

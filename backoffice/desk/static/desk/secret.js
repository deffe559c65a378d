// Copies a secret that is shown once. Own file: the content security policy allows no inline script.
(function () {
  "use strict";

  document.addEventListener("click", function (event) {
    const button = event.target.closest("[data-copy]");
    if (!button) return;
    const field = document.getElementById(button.dataset.copy);
    field.select();
    navigator.clipboard.writeText(field.value).then(function () {
      const note = document.querySelector("[data-copied]");
      if (note) note.hidden = false;
    });
  });
})();

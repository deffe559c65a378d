// Joins the forms of passkey pages to the browser's own dialogue, and says in words what went wrong in it.
(function () {
  "use strict";

  const place = document.querySelector("[data-passkey]");
  const problem = document.querySelector("[data-passkey-problem]");
  if (!place || !window.allauth || !window.allauth.webauthn) {
    return;
  }

  function say(text) {
    problem.textContent = text;
    problem.hidden = false;
  }

  document.addEventListener("allauth.error", (event) => {
    event.preventDefault();
    const name = event.detail.exception && event.detail.exception.name;
    if (name === "InvalidStateError") {
      say("This device already has a passkey for your login.");
    } else if (name === "NotAllowedError") {
      say("No passkey was given: the dialogue was closed, or it took too long. Try again, or use another way.");
    } else {
      say("The passkey could not be used here. Try again, or use another way.");
    }
  });

  const ids = {
    data: "js_data",
    credential: place.dataset.credential,
    add: place.dataset.button,
    login: place.dataset.button,
    authenticate: place.dataset.button,
    passwordless: place.dataset.passwordless,
  };
  if (place.dataset.passkey === "loginForm") {
    delete ids.data;
  }
  const button = document.getElementById(place.dataset.button);
  if (!window.PublicKeyCredential) {
    button.hidden = true;
    if (place.dataset.passkey !== "loginForm") {
      say("This browser knows no passkeys.");
    }
    return;
  }
  window.allauth.webauthn.forms[place.dataset.passkey]({ ids });
  // The page draws the button locked: a click before this line would have done nothing.
  button.disabled = false;
})();

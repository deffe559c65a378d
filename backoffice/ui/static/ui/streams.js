// Live streams for a page. One connection serves every element with data-stream-channel; what arrives is handed to the
// element as an event "stream" (detail: {event, data}), and whether it is live as "streamstate" (detail: {live}).
// A page works without: it keeps asking for itself and says how old its figures are.
document.addEventListener("DOMContentLoaded", function () {
  "use strict";

  const FIRST_PAUSE = 1000;
  const LONGEST_PAUSE = 30000;
  const SILENCE = 40000; // the server says something every 15 seconds
  const STEADY = 10000;
  const HIDDEN = 30000;
  const source = document.querySelector("[data-streams-url]");
  if (!source || !window.ReadableStream || !window.AbortController) {
    return;
  }

  const places = new Map(); // channel → elements
  let controller = null;
  let retry = null;
  let watchdog = null;
  let hiding = null;
  let pause = FIRST_PAUSE;
  let last = "";
  let live = false;
  let refused = false;

  function tell(isLive) {
    live = isLive;
    places.forEach((elements) =>
      elements.forEach((element) => element.dispatchEvent(new CustomEvent("streamstate", { detail: { live } })))
    );
  }

  function handle(name, text, id) {
    const body = JSON.parse(text);
    if (id) {
      last = id;
    }
    if (name === "state") {
      tell(body.live);
    } else if (name === "end") {
      refused = body.reason === "session" || body.reason === "access";
    } else if (name === "resync") {
      last = "";
    } else {
      (places.get(body.channel) || []).forEach((element) =>
        element.dispatchEvent(new CustomEvent("stream", { detail: { event: name, data: body.data } }))
      );
      if (name === "badge") {
        document.dispatchEvent(new CustomEvent("bo:work", { detail: { waiting: body.data.count } }));
      }
    }
  }

  function parse(block) {
    let name = "message";
    let id = "";
    const data = [];
    block.split("\n").forEach((line) => {
      const colon = line.indexOf(":");
      const field = colon < 0 ? line : line.slice(0, colon);
      const value = colon < 0 ? "" : line.slice(colon + 1).replace(/^ /, "");
      if (field === "event") {
        name = value;
      } else if (field === "data") {
        data.push(value);
      } else if (field === "id") {
        id = value;
      }
    });
    if (data.length) {
      handle(name, data.join("\n"), id);
    }
  }

  function awake() {
    clearTimeout(watchdog);
    watchdog = setTimeout(() => controller && controller.abort(), SILENCE);
  }

  function later(wait) {
    tell(false);
    clearTimeout(watchdog);
    clearTimeout(retry);
    if (refused || document.hidden) {
      return;
    }
    // Scattered, so that hundreds of screens do not come back in the same instant.
    retry = setTimeout(open, wait * (0.5 + Math.random()));
    pause = Math.min(pause * 2, LONGEST_PAUSE);
  }

  async function open() {
    clearTimeout(retry);
    if (controller || refused || !places.size) {
      return;
    }
    const own = new AbortController();
    controller = own;
    const began = performance.now();
    let wait = 0;
    try {
      const query = new URLSearchParams({ channels: Array.from(places.keys()).join(","), last });
      awake();
      const answer = await fetch(source.dataset.streamsUrl + "?" + query, {
        credentials: "include",
        cache: "no-store",
        redirect: "error",
        signal: own.signal,
      });
      if (answer.status === 401 || answer.status === 403) {
        refused = true;
      } else if (!answer.ok) {
        wait = Number(answer.headers.get("Retry-After")) * 1000 || 0;
      } else {
        await read(answer.body.getReader(), began);
      }
    } catch (error) {
      // A cut connection: the pause before the next attempt is all there is to do.
    }
    if (controller === own) {
      controller = null;
      later(Math.max(wait, pause));
    }
  }

  async function read(reader, began) {
    const decoder = new TextDecoder();
    let buffer = "";
    for (;;) {
      const { value, done } = await reader.read();
      if (done) {
        return;
      }
      awake();
      if (performance.now() - began > STEADY) {
        pause = FIRST_PAUSE;
      }
      buffer += decoder.decode(value, { stream: true });
      const blocks = buffer.split("\n\n");
      buffer = blocks.pop();
      blocks.forEach(parse);
    }
  }

  function close() {
    clearTimeout(retry);
    clearTimeout(watchdog);
    const open_one = controller;
    controller = null;
    if (open_one) {
      open_one.abort();
    }
    tell(false);
  }

  document.addEventListener("visibilitychange", () => {
    clearTimeout(hiding);
    if (document.hidden) {
      // A tab that nobody looks at gives its place to others.
      hiding = setTimeout(close, HIDDEN);
    } else if (!controller) {
      pause = FIRST_PAUSE;
      open();
    }
  });
  window.addEventListener("pagehide", close);
  window.addEventListener("pageshow", (event) => event.persisted && open());

  document.querySelectorAll("[data-stream-channel]").forEach((element) => {
    const channel = element.dataset.streamChannel;
    places.set(channel, (places.get(channel) || []).concat(element));
  });
  // Once the page's own scripts listen.
  window.setTimeout(open, 0);
});

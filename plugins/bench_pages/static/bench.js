// Charts, links out of the frame, forms that judge. Without it the pages still show every figure.
"use strict";

const root = document.documentElement;
const framed = window.parent !== window;

// Airflow's frame does not let a page navigate what is around it, but a link that stands outside may.
function leaveFrame(event) {
  const link = event.target.closest?.('a[target="_top"]');
  if (!link || !framed || event.ctrlKey || event.metaKey || event.shiftKey || event.button > 0) return;
  try {
    const outside = window.parent.document.createElement("a");
    outside.href = link.href;
    window.parent.document.body.append(outside);
    event.preventDefault();
    outside.click();
    outside.remove();
  } catch {
    // Another origin: the browser decides.
  }
}

// The address of this view inside Airflow, whose login leads back to it.
function sharedAddress() {
  const { pathname, search } = window.location;
  const airflow = new URL("../", new URL(root.dataset.pages, document.baseURI));
  const within = pathname.slice(airflow.pathname.length);
  return new URL(`plugin/benchmarks/${within}${search}`, airflow).href;
}

function offerLink(button) {
  button.hidden = false;
  button.addEventListener("click", async () => {
    const address = sharedAddress();
    let copied = true;
    try {
      await navigator.clipboard.writeText(address);
    } catch {
      copied = copyByHand(address);
    }
    button.textContent = copied ? "Copied" : address;
  });
}

// The clipboard of the newer interface needs https, which a laptop's Airflow has not.
function copyByHand(text) {
  const field = document.createElement("textarea");
  field.value = text;
  document.body.append(field);
  field.select();
  const copied = document.execCommand("copy");
  field.remove();
  return copied;
}

let library = null;
function loadLibrary() {
  library ??= new Promise((resolve, reject) => {
    const script = document.createElement("script");
    script.src = root.dataset.vega;
    script.onload = resolve;
    script.onerror = () => reject(new Error("the chart library did not load"));
    document.head.append(script);
  });
  return library;
}

// Vega's interpreter does not read what Vega-Lite makes of the ends of a time axis.
const TIME = /^\{data: datetime\((-?\d+)\)\}$/;
function withPlainTimes(definition) {
  for (const scale of definition.scales ?? []) {
    const ends = Array.isArray(scale.domain) ? scale.domain : scale.domain?.fields;
    const times = ends?.map((end) => TIME.exec(end?.signal ?? "")?.[1]);
    if (times?.length && times.every(Boolean)) scale.domain = times.map(Number);
  }
  return definition;
}

// A part of a chart that has a role but no name is only noise to a screen reader.
function silenceNameless(drawn) {
  for (const part of drawn.querySelectorAll('[role^="graphics-"]:not([aria-label])')) {
    part.removeAttribute("role");
    part.removeAttribute("aria-roledescription");
  }
}

async function draw(figure) {
  const address = new URL(figure.dataset.chart, document.baseURI);
  const width = Math.min(4000, Math.max(240, Math.floor(figure.clientWidth)));
  const theme = root.dataset.theme || "light";
  const wanted = `${theme} ${width}`;
  if (figure.dataset.drawn === wanted) return;
  figure.dataset.drawn = wanted;
  address.searchParams.set("theme", theme);
  address.searchParams.set("width_px", String(width));
  try {
    const [answer] = await Promise.all([
      fetch(address, { headers: { Accept: "application/json" } }),
      loadLibrary(),
    ]);
    const found = await answer.json();
    if (!answer.ok) throw new Error(found.detail);
    if (figure.dataset.drawn !== wanted) return;
    const target = document.createElement("div");
    await window.vegaEmbed(target, found, {
      // The interpreter: a strict policy permits no evaluation of text.
      ast: true,
      patch: withPlainTimes,
      actions: false,
      logLevel: 1, // errors: a layer without data is none
      renderer: "svg",
      defaultStyle: false,
      tooltip: { disableDefaultStyle: true },
    });
    silenceNameless(target);
    figure.replaceChildren(target);
    figure.classList.add("ready");
  } catch (error) {
    const note = document.createElement("p");
    note.className = "muted chart-note";
    note.textContent = `No chart: ${error.message}`;
    figure.replaceChildren(note);
    figure.classList.add("ready");
  }
}

function drawAll() {
  for (const figure of document.querySelectorAll("[data-chart]")) draw(figure);
}

async function send(event) {
  event.preventDefault();
  const form = event.currentTarget;
  const answer = form.querySelector("output");
  const body = JSON.parse(form.dataset.body || "{}");
  body.reason = form.elements.reason.value;
  if (event.submitter?.name) body[event.submitter.name] = event.submitter.value;
  answer.textContent = "Sending …";
  try {
    const reply = await fetch(form.dataset.post, {
      method: "POST",
      headers: {
        "Content-Type": "application/json",
        "X-Bench-Token": document.querySelector('meta[name="bench-token"]')?.content ?? "",
      },
      body: JSON.stringify(body),
    });
    if (!reply.ok) throw new Error((await reply.json()).detail);
    answer.textContent = "Saved.";
    window.location.reload();
  } catch (error) {
    answer.textContent = `Not saved: ${error.message}`;
  }
}

// Airflow's own address follows the first view only; with ours a reload and a bookmark lead back here.
function tellAirflow() {
  try {
    if (framed && window.parent.location.pathname.includes("/plugin/benchmarks")) {
      window.parent.history.replaceState(window.parent.history.state, "", sharedAddress());
    }
  } catch {
    // Another origin: its address is its own affair.
  }
}

document.addEventListener("click", leaveFrame);
window.addEventListener("load", () => setTimeout(tellAirflow));
document.addEventListener("bench-theme", drawAll);
for (const button of document.querySelectorAll("[data-copy]")) offerLink(button);
for (const form of document.querySelectorAll("form.judge")) form.addEventListener("submit", send);
let waiting = 0;
window.addEventListener("resize", () => {
  clearTimeout(waiting);
  waiting = setTimeout(drawAll, 200);
});
drawAll();

// Steps through the calls of a question's page and shows what belongs together. The page reads well without
// it. It makes no element, reads no text and asks for nothing.
"use strict";
(() => {
  const page = document.querySelector(".aotd");
  const part = (node) => node.closest("[data-attempt]");
  const number = (node) => node.dataset.call;
  const attempts = [...page.querySelectorAll("details.attempt")];
  const shown = () => attempts.find((attempt) => attempt.open) || (attempts.length ? null : page);
  const cards = () => (shown() ? [...shown().querySelectorAll(".card")] : []);
  let current = null;

  // What shows a call: its card, its line, its chips, its node, and the sentences that cite it.
  const showing = (attempt, calls) => {
    const wanted = new Set(calls);
    return [...page.querySelectorAll(`[data-attempt="${attempt}"] :is([data-call], [data-calls], [data-to])`)]
      .filter((node) => wanted.has(number(node)) || (node.dataset.calls || "").split(" ").some((n) => wanted.has(n))
        || wanted.has(node.dataset.from) || wanted.has(node.dataset.to));
  };
  const mark = (attempt, calls) => {
    page.querySelectorAll(".lit").forEach((node) => node.classList.remove("lit"));
    if (calls.length) showing(attempt, calls).forEach((node) => node.classList.add("lit"));
  };
  const rest = () => (current ? mark(part(current).dataset.attempt, [number(current)]) : mark("", []));

  const select = (card, { move = true } = {}) => {
    if (current) { current.classList.remove("current"); current.removeAttribute("aria-current"); }
    current = card;
    if (card) {
      card.classList.add("current");
      card.setAttribute("aria-current", "true");
      if (move) { card.focus({ preventScroll: true }); card.scrollIntoView({ block: "nearest" }); }
    }
    rest();
  };
  const step = (by) => {
    const all = cards();
    const at = all.indexOf(current);
    const to = at < 0 ? (by > 0 ? 0 : all.length - 1) : at + by;
    if (all[to]) select(all[to]);
  };
  const open = (card) => {
    const attempt = card.closest("details.attempt");
    if (attempt) attempt.open = true;
    select(card);
  };
  const target = () => document.getElementById(decodeURIComponent(location.hash.slice(1)));
  const follow = () => { const card = target(); if (card && card.matches(".card")) open(card); };

  const calls = (node) => (node.dataset.calls ? node.dataset.calls.split(" ") : [number(node)]);
  const held = (event) => event.target.closest && event.target.closest("[data-call], [data-calls]");
  page.addEventListener("mouseover", (event) => {
    const node = held(event);
    if (node && part(node)) mark(part(node).dataset.attempt, calls(node)); else rest();
  });
  page.addEventListener("mouseleave", rest);
  page.addEventListener("click", (event) => {
    const picture = event.target.closest(".pictures");
    if (picture && event.target.closest("svg")) { picture.classList.toggle("large"); return; }
    const link = event.target.closest("a[data-call]");
    const node = link || event.target.closest(".sentence[data-calls], .card");
    if (!node || (!link && event.target.closest("a, summary, input"))) return;
    if (node.matches(".card")) { select(node, { move: false }); return; }
    const attempt = part(node).dataset.attempt;
    const card = [...page.querySelectorAll(`[data-attempt="${attempt}"] .card`)]
      .find((one) => number(one) === calls(node)[0]);
    if (!card) return;
    event.preventDefault();
    open(card);
    mark(attempt, calls(node));
  });
  attempts.forEach((attempt) => attempt.addEventListener("toggle", () => {
    if (current && attempt.open && !attempt.contains(current)) select(null);
  }));

  const toggle = (name) => { const box = page.querySelector(name); if (box) box.click(); };
  const keys = {
    j: () => step(1), ArrowRight: () => step(1), k: () => step(-1), ArrowLeft: () => step(-1),
    b: () => toggle(".show-boxes"), l: () => toggle(".show-labels"),
    z: () => { if (current) current.querySelectorAll(".pictures").forEach((one) => one.classList.toggle("large")); },
    a: () => {
      const next = attempts[(attempts.indexOf(shown()) + 1) % attempts.length];
      if (next) { next.open = true; next.querySelector("summary").focus(); }
    },
    Escape: () => select(null),
  };
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || !Object.hasOwn(keys, event.key)) return;
    if (event.target.matches("input[type=text], input[type=search], textarea, select")) return;
    keys[event.key]();
    if (event.key.startsWith("Arrow")) event.preventDefault();
  });
  window.addEventListener("hashchange", follow);
  follow();
})();

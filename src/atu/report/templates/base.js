// Shared parts: data, words, state in the URL hash, small builders.
const D = JSON.parse(document.getElementById("data").textContent);
const $ = (id) => document.getElementById(id);
// What the URL's fragment may set; each script adds its own keys.
const DEFAULTS = { lang: "" };
let state = DEFAULTS;
const views = [];
// `draw` runs at the start, in a new language or width, and when the state of one of its keys changes.
const view = (keys, draw) => views.push({ keys, draw });

const lang = () => document.documentElement.dataset.lang;
const pick = (pair) => pair[lang() === "zh" ? 1 : 0];
const word = (key) => pick(D.words[key]);
const fill = (text, values) => text.replace(/\{(\w+)\}/g, (_, name) => values[name]);

function el(tag, attributes, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes || {})) node.setAttribute(name, value);
  // Strings become text nodes: what a model said can never become markup.
  node.append(...children.filter((child) => child !== null && child !== undefined));
  return node;
}

function svg(tag, attributes, ...children) {
  const node = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(attributes || {})) node.setAttribute(name, value);
  node.append(...children);
  return node;
}

function readHash() {
  const found = new URLSearchParams(location.hash.slice(1));
  const next = { ...DEFAULTS };
  for (const key of Object.keys(DEFAULTS)) if (found.has(key)) next[key] = found.get(key);
  return next;
}

function update(changes) {
  state = { ...state, ...changes };
  const shown = new URLSearchParams();
  for (const [key, value] of Object.entries(state)) if (value !== DEFAULTS[key]) shown.set(key, value);
  // Replacing the fragment keeps the page shareable without filling the history.
  location.replace(`#${shown}`);
  apply();
}

let applied = {};
function apply(isAnew) {
  const wanted = state.lang || (navigator.language.startsWith("zh") ? "zh" : "en");
  const isNewLanguage = wanted !== lang(), before = applied;
  document.documentElement.dataset.lang = wanted;
  document.documentElement.lang = wanted;
  applied = state;
  if (isNewLanguage) translateAttributes();
  for (const { keys, draw } of views) if (isAnew || isNewLanguage || keys.some((key) => state[key] !== before[key])) draw();
}

function translateAttributes() {
  for (const button of document.querySelectorAll("[data-set-lang]"))
    button.setAttribute("aria-pressed", String(button.dataset.setLang === lang()));
  for (const node of document.querySelectorAll("[data-aria]"))
    node.setAttribute("aria-label", word(node.dataset.aria));
  for (const node of document.querySelectorAll("[data-placeholder]"))
    node.setAttribute("placeholder", word(node.dataset.placeholder));
  for (const node of document.querySelectorAll("[data-title-zh]")) {
    node.dataset.titleEn ||= node.title;
    node.title = lang() === "zh" ? node.dataset.titleZh : node.dataset.titleEn;
  }
  const title = document.title.split(" · ");
  document.title = [...title.slice(0, -1), word(D.title)].join(" · ");
}

function options(id, pairs, chosen) {
  const select = $(id), signature = lang() + JSON.stringify(pairs);
  if (select.dataset.signature !== signature) {
    select.replaceChildren(...pairs.map(([value, text]) => el("option", { value }, text)));
    select.dataset.signature = signature;
  }
  select.value = chosen;
}

const unique = (values) => [...new Set(values)];
let typing = 0;
function searchable(change) {
  $("query").addEventListener("input", (event) => {
    clearTimeout(typing);
    typing = setTimeout(() => update({ ...change, q: event.target.value }), 120);
  });
  addEventListener("keydown", (event) => {
    const isTyping = /^(INPUT|SELECT|TEXTAREA)$/.test(document.activeElement.tagName);
    if (event.key !== "/" || isTyping || event.ctrlKey || event.metaKey || event.altKey) return;
    event.preventDefault();
    $("query").focus();
  });
}

const tip = $("tip");
function showTip(lines, x, y) {
  tip.replaceChildren(...lines.map((line, index) => el(index ? "div" : "strong", {}, line)));
  tip.hidden = false;
  const box = tip.getBoundingClientRect();
  tip.style.left = `${Math.max(8, Math.min(x + 14, innerWidth - box.width - 8))}px`;
  tip.style.top = `${y - box.height - 12 < 8 ? y + 18 : y - box.height - 12}px`;
}
const hideTip = () => { tip.hidden = true; };
addEventListener("keydown", (event) => { if (event.key === "Escape") hideTip(); });
addEventListener("scroll", hideTip, { passive: true });

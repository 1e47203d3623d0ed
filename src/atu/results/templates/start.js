// Wires the page up and draws it.
let typing = 0;
if ($("query")) {
  $("query").addEventListener("input", (event) => {
    clearTimeout(typing);
    typing = setTimeout(() => update({ q: event.target.value, page: "1" }), 120);
  });
  for (const key of ["group", "attack"]) $(key).addEventListener("change", (event) => update({ [key]: event.target.value, page: "1" }));
  $("clear").addEventListener("click", () => { $("query").value = ""; update({ ...DEFAULTS, lang: state.lang }); });
  document.querySelector(".filters").addEventListener("submit", (event) => event.preventDefault());
  addEventListener("keydown", (event) => {
    const isTyping = /^(INPUT|SELECT|TEXTAREA)$/.test(document.activeElement.tagName);
    if (event.key !== "/" || isTyping || event.ctrlKey || event.metaKey || event.altKey) return;
    event.preventDefault();
    $("query").focus();
  });
}
for (const button of document.querySelectorAll("[data-set-lang]")) button.addEventListener("click", () => update({ lang: button.dataset.setLang }));
// The fragment holds the state, so links to sections move the page by themselves.
for (const link of document.querySelectorAll("nav a, .skip")) {
  link.addEventListener("click", (event) => {
    event.preventDefault();
    const section = $(link.getAttribute("href").slice(1));
    section.scrollIntoView({ block: "start" });
    section.focus({ preventScroll: true });
  });
}
addEventListener("hashchange", () => {
  const next = readHash();
  if (JSON.stringify(next) !== JSON.stringify(state)) { state = next; apply(); }
});
let width = innerWidth;
addEventListener("resize", () => { if (innerWidth !== width) { width = innerWidth; drawCharts(); } });
listeners.push((isNewLanguage) => { if (isNewLanguage) drawCharts(); drawAnswers(); });
state = readHash();
translateAttributes();
drawCharts();
apply();

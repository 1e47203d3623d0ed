// Wires the page up and draws it.
for (const form of document.querySelectorAll("form")) form.addEventListener("submit", (event) => event.preventDefault());
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
addEventListener("resize", () => { if (innerWidth !== width) { width = innerWidth; apply(true); } });
state = readHash();
translateAttributes();
apply(true);

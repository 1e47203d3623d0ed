// The comparison table: a row a run, sorted by any column; a missing score is a gap and goes last.
Object.assign(DEFAULTS, { sort: "", down: "", cells: "score", columns: "first" });
// More rows than these are laid out only when asked for.
const MANY_ROWS = 150;
let hasAllRows = false;
const columnNames = () => ({ all: D.scored, main: D.columns })[state.columns] || D.first;
// On a phone the scores come first: what a run is stands in its cell.
const isNarrow = () => innerWidth < 640;
const FACT_KEYS = ["method", "target", "seed"];
const text = (value) => String(value).toLowerCase();
const FACTS = { run: (run) => run.name, method: (run) => pick(D.methods[run.method].label), target: (run) => run.target, seed: (run) => seedOf(run), state: (run) => run.state };

function cellOf(run, name) {
  const shown = shownOf(run), score = shown && shown.scores[name];
  if (!score || state.cells === "score") return score || null;
  const before = stagesOf(run).find((stage) => stage.kind === "before" && stage.scores[name]);
  return before ? [score[0] - before.scores[name][0], null, null, score[3]] : null;
}

function sortedRuns() {
  const runs = visibleRuns(), sign = state.down ? -1 : 1;
  if (FACTS[state.sort]) return runs.sort((a, b) => sign * text(FACTS[state.sort](a)).localeCompare(text(FACTS[state.sort](b)), "en", { numeric: true }));
  if (!D.scored.includes(state.sort)) return runs;
  const value = new Map(runs.map((run) => [run, (cellOf(run, state.sort) || [null])[0]]));
  return runs.sort((a, b) => (value.get(a) === null) - (value.get(b) === null) || sign * (value.get(a) - value.get(b)));
}

function sortHead(name, label, title, look) {
  const isSorted = state.sort === name, arrow = isSorted ? (state.down ? " ▾" : " ▴") : "";
  const button = el("button", { type: "button", class: "sort", "data-sort": name, title }, label + arrow);
  button.addEventListener("click", () => update({ sort: name, down: isSorted && !state.down ? "1" : "" }));
  return el("th", { scope: "col", class: look, "data-label": label, "aria-sort": isSorted ? (state.down ? "descending" : "ascending") : "none" }, button);
}

function tableHead(names) {
  const families = unique(names.map((name) => D.metrics[name].family));
  const groups = families.map((family) => {
    const members = names.filter((name) => D.metrics[name].family === family), units = unique(members.map((name) => D.metrics[name].unit));
    return el("th", { scope: "colgroup", colspan: members.length, class: `group ${family}` }, D.families[family] ? pick(D.families[family]) : family, units.length === 1 && units[0] ? el("small", {}, ` ${units[0]}`) : null);
  });
  const facts = ["run", ...(isNarrow() ? [] : FACT_KEYS)].map((key) => sortHead(key, word(key === "run" ? "run" : `header_${key}`), "", key === "run" ? "sticky" : ""));
  return el("thead", {},
    el("tr", {}, el("td", { class: "sticky" }), isNarrow() ? null : el("td", { colspan: FACT_KEYS.length }), ...groups, el("td")),
    el("tr", {}, ...facts, ...names.map((name) => {
      const metric = D.metrics[name];
      return sortHead(name, `${metric.arrow}\u00a0${pick(metric.short)}`, `${pick(metric.label)} (${pick(metric.direction)}). ${pick(metric.meaning)}`, "n");
    }), el("th", { scope: "col" }, word("shown_stage"))));
}

function tableCell(run, name) {
  const score = cellOf(run, name), unit = D.metrics[name].unit;
  if (!score) return el("td", { class: "n" }, el("span", { class: "gap" }, "–"));
  return el("td", { class: "n", title: score[3] === null ? "" : `n = ${score[3]}` }, el("b", {}, state.cells === "change" ? signed(score[0], unit) : plain(score[0], unit)),
    hasInterval(score) ? el("small", {}, `${plain(score[1], unit)}–${plain(score[2], unit)}`) : null);
}

function runName(run) {
  // A long name may break after its separators.
  const parts = run.name.split(/(?<=[_-])/).flatMap((part) => [part, el("wbr")]);
  const name = run.report ? el("a", { href: `${run.report}${state.lang ? `#lang=${state.lang}` : ""}`, title: run.source }, ...parts) : el("span", { title: run.source }, ...parts);
  return run.state === "done" ? [name] : [name, " ", stateBadge(run)];
}
const stateBadge = (run) => el("span", { class: `badge ${run.state === "failed" ? "unwanted" : ""}` }, D.words[`run_${run.state}`] ? word(`run_${run.state}`) : run.state || "?");

function compareButtons(run) {
  return el("span", { class: "ab" }, ...["a", "b"].map((side) => {
    const button = el("button", { type: "button", "data-side": `${side}${run.id}`, "aria-pressed": String(state[side] === String(run.id)), "aria-label": `${fill(word("choose_as"), { side: side.toUpperCase() })}: ${run.name}` }, side.toUpperCase());
    button.addEventListener("click", () => update({ [side]: String(run.id) }));
    return button;
  }));
}

function drawTable() {
  const names = columnNames(), runs = sortedRuns(), active = document.activeElement;
  const focused = active && ["sort", "side"].map((key) => active.dataset[key] && `[data-${key}="${active.dataset[key]}"]`).find(Boolean);
  const rows = runs.slice(0, hasAllRows ? runs.length : MANY_ROWS).map((run) => {
    const shown = shownOf(run);
    const look = [swatch(lookOf(run)), el("span", {}, ` ${lookOf(run).label}`)];
    const facts = isNarrow() ? [] : [el("td", { class: "look" }, ...look), el("td", {}, spaced(run.target)), el("td", {}, seedOf(run))];
    return el("tr", { "data-run": run.id }, el("th", { scope: "row", class: "sticky" }, ...(isNarrow() ? [swatch(lookOf(run)), " "] : []), ...runName(run), compareButtons(run)),
      ...facts,
      ...names.map((name) => tableCell(run, name)), el("td", {}, shown ? el("code", {}, shown.label) : el("span", { class: "gap" }, word(stagesOf(run).length ? "none_shown" : "none_scored"))));
  });
  $("runs-table").replaceChildren(tableHead(names), el("tbody", {}, ...rows));
  if (!rows.length) $("runs-table").tBodies[0].append(el("tr", {}, el("td", { colspan: names.length + 5, class: "empty" }, word("no_run_fits"))));
  $("more-rows").hidden = rows.length === runs.length;
  $("more-rows").textContent = fill(word("show_all_runs"), { n: runs.length });
  options("cells", [["score", word("cells_score")], ["change", word("cells_change")]], state.cells);
  options("columns", [["first", word("columns_first")], ["main", word("columns_main")], ["all", word("columns_all")]], state.columns);
  // The table was made anew: the keyboard stays on the button that was pressed.
  const again = focused && $("runs-table").querySelector(focused);
  if (again) again.focus();
  drawMeanings(names);
}

function drawMeanings(names) {
  $("meanings").replaceChildren(...names.map((name) => {
    const metric = D.metrics[name];
    return el("div", {}, el("dt", {}, `${metric.arrow} ${pick(metric.label)} `, el("small", {}, [metric.unit, pick(metric.direction)].filter(Boolean).join(" · "))),
      el("dd", {}, `${pick(metric.meaning)} `, el("em", {}, word("pitfall")), ` ${pick(metric.pitfall)} `, el("code", {}, name)));
  }));
}

$("runs-table").addEventListener("pointerover", (event) => { const row = event.target.closest("tr[data-run]"); emphasise(row ? row.dataset.run : undefined); });
$("runs-table").addEventListener("pointerleave", () => emphasise(undefined));
$("more-rows").addEventListener("click", () => { hasAllRows = true; drawTable(); });
for (const key of ["cells", "columns"]) $(key).addEventListener("change", (event) => update({ [key]: event.target.value }));
view([...SHOWN_KEYS, "sort", "down", "cells", "columns", "a", "b"], drawTable);

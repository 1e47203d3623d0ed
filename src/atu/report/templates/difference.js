// Two runs side by side: what they are, where their configs differ, and how their scores differ.
Object.assign(DEFAULTS, { a: "0", b: D.runs.length > 1 ? "1" : "0", keys: "differing" });
const chosen = (side) => D.runs[Number(state[side])] || D.runs[0];
const differ = (a, b) => (a === b ? "" : "differs");

function pairRows(label, rows) {
  return el("tbody", {}, el("tr", { class: "family" }, el("th", { colspan: 4, scope: "rowgroup" }, label)), ...rows);
}

function pairRow(key, a, b) {
  const cell = (value) => el("td", { class: "value" }, value === undefined ? el("span", { class: "gap" }, word("not_set")) : value);
  return el("tr", { class: differ(a, b) }, el("th", { scope: "row" }, key), cell(a), cell(b), el("td"));
}

function scoreRow(name, a, b) {
  const metric = D.metrics[name], unit = metric.unit, cell = (score) => el("td", {}, score ? plain(score[0], unit) : el("span", { class: "gap" }, "–"), score ? el("small", {}, interval(score, unit)) : null);
  const change = a && b ? b[0] - a[0] : null;
  return el("tr", {}, el("th", { scope: "row" }, `${metric.arrow} ${pick(metric.label)}`, unit ? el("small", {}, ` ${unit}`) : null), cell(a), cell(b),
    el("td", { class: "n" }, signed(change, unit)));
}

function drawDifference() {
  const [a, b] = [chosen("a"), chosen("b")];
  const isTwice = (run) => D.runs.filter((other) => other.name === run.name).length > 1;
  const runs = D.runs.map((run) => [String(run.id), isTwice(run) ? `${run.name} (${run.source})` : run.name]);
  options("a", runs, String(a.id));
  options("b", runs, String(b.id));
  options("keys", [["differing", word("keys_differing")], ["all", word("keys_all")]], state.keys);
  const fact = (run, key) => ({ header_method: `${lookOf(run).label} (${D.methods[run.method].name})`, header_target: spaced(run.target), header_model: run.model, header_seed: seedOf(run), run_state: D.words[`run_${run.state}`] ? word(`run_${run.state}`) : run.state, run_source: run.source })[key];
  const facts = ["header_method", "header_target", "header_model", "header_seed", "run_state", "run_source"].map((key) => pairRow(word(key), fact(a, key), fact(b, key)));
  const keys = unique([...Object.keys(a.config), ...Object.keys(b.config)]).sort();
  const wanted = keys.filter((key) => state.keys === "all" || a.config[key] !== b.config[key]);
  const configs = wanted.length ? wanted.map((key) => pairRow(el("code", {}, key), a.config[key], b.config[key])) : [el("tr", {}, el("td", { colspan: 4, class: "empty" }, word(keys.length ? "no_differences" : "no_config")))];
  const [left, right] = [shownOf(a), shownOf(b)];
  const names = D.columns.filter((name) => (left && left.scores[name]) || (right && right.scores[name]));
  const scores = names.length ? names.map((name) => scoreRow(name, left && left.scores[name], right && right.scores[name])) : [el("tr", {}, el("td", { colspan: 4, class: "empty" }, word("no_scores")))];
  $("pair").replaceChildren(
    el("thead", {}, el("tr", {}, el("td"), ...[["A", a], ["B", b]].map(([side, run]) => el("th", { scope: "col" }, `${side} · `, ...runName(run))), el("th", { scope: "col", class: "n" }, "B − A"))),
    pairRows(word("pair_facts"), facts), pairRows(word("config"), configs), pairRows(word("pair_scores"), scores));
}

if ($("pair")) {
  for (const key of ["a", "b", "keys"]) $(key).addEventListener("change", (event) => update({ [key]: event.target.value }));
  view([...SHOWN_KEYS, "a", "b", "keys"], drawDifference);
}

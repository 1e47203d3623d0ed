// Many runs: which are shown, and which of its stages stands for each.
const ALL_RUNS = { q: "", off: "", target: "", seed: "", model: "" };
Object.assign(DEFAULTS, ALL_RUNS, { scoring: D.scorings[0] || "", rule: "last", level: "30", x: "", y: "" });
const RUN_KEYS = [...Object.keys(ALL_RUNS), "scoring"];
const SHOWN_KEYS = [...RUN_KEYS, "rule", "level", "x", "y"];

const seedOf = (run) => (run.seed === null ? "–" : String(run.seed));
const spaced = (target) => target.replaceAll("_", " ");
const lookOf = (run) => ({ ...D.methods[run.method], label: pick(D.methods[run.method].label) });
const hiddenMethods = () => new Set(state.off.split(".").filter(Boolean).map(Number));
const stagesOf = (run) => (run.stages[state.scoring] || []).filter((stage) => Object.keys(stage.scores).length);
const percentNames = (families) => Object.keys(D.metrics).filter((name) => D.scored.includes(name) && families.includes(D.metrics[name].family) && D.metrics[name].unit === "%");
const forgetNames = percentNames(["forget", "attack", "language"]);
const keepNames = percentNames(["neighbor", "utility"]);
const forgetName = () => (forgetNames.includes(state.x) ? state.x : D.headline.forget || forgetNames[0]);
const keepName = () => (keepNames.includes(state.y) ? state.y : D.headline.neighbor || keepNames[0]);
const level = () => Number(state.level);
const hasLevel = () => state.level.trim() !== "" && Number.isFinite(level());

function visibleRuns() {
  const words = state.q.toLowerCase().split(/\s+/).filter(Boolean), hidden = hiddenMethods();
  return D.runs.filter((run) => !hidden.has(run.method) &&
    (!state.target || run.target === state.target) && (!state.seed || seedOf(run) === state.seed) && (!state.model || run.model === state.model) &&
    words.every((part) => [run.name, run.source, run.target, D.methods[run.method].name, ...D.methods[run.method].label].join("\n").toLowerCase().includes(part)));
}

// One rule for every run: its last evaluated stage, or the first place at or under a forget level.
let shownFor = null, shownStages = new Map();
function shownOf(run) {
  if (shownFor !== state) [shownFor, shownStages] = [state, new Map()];
  if (!shownStages.has(run)) shownStages.set(run, state.rule === "matched" ? matched(stagesOf(run)) : lastStage(stagesOf(run)));
  return shownStages.get(run);
}
const lastStage = (stages) => (stages.length && stages.at(-1).kind !== "before" ? stages.at(-1) : null);

// On the straight line between the stages before and after the level; such a point has no interval.
function matched(stages) {
  const name = forgetName(), path = stages.filter((stage) => stage.scores[name]);
  const at = hasLevel() ? path.findIndex((stage) => stage.scores[name][0] <= level()) : -1;
  if (at < 1 || path[at].scores[name][0] === level()) return path[at] || null;
  const [from, to] = [path[at - 1], path[at]];
  const part = (from.scores[name][0] - level()) / (from.scores[name][0] - to.scores[name][0]);
  const scores = {};
  for (const other of Object.keys(to.scores))
    if (from.scores[other]) scores[other] = [from.scores[other][0] + part * (to.scores[other][0] - from.scores[other][0]), null, null, null];
  return { kind: to.kind, label: `${from.label} → ${to.label} (${Math.round(100 * part)}%)`, scores };
}

function ruleText() {
  if (state.rule !== "matched") return word("rule_last_text");
  return fill(word("rule_matched_text"), { metric: forgetName() ? pick(D.metrics[forgetName()].label) : "–", level: hasLevel() ? short(level()) : "–" });
}

function drawRunFilters() {
  const any = ["", word("any")], list = (values) => [any, ...unique(values).map((value) => [value, value])];
  const targets = unique(D.runs.map((run) => run.target)).sort((a, b) => a.localeCompare(b, "en", { numeric: true }));
  options("target", [any, ...targets.map((target) => [target, spaced(target)])], state.target);
  options("seed", list(D.runs.map(seedOf).sort((a, b) => a.localeCompare(b, "en", { numeric: true }))), state.seed);
  options("model", list(D.runs.map((run) => run.model).sort()), state.model);
  options("scoring", D.scorings.map((name) => [name, word(`scoring_${name}`)]), state.scoring);
  options("rule", [["last", word("rule_last")], ["matched", word("rule_matched")]], state.rule);
  const named = (names) => names.map((name) => [name, metricName(name)]);
  options("x", named(forgetNames), forgetName() || "");
  options("y", named(keepNames), keepName() || "");
  for (const [id, count] of [["target", targets.length], ["seed", unique(D.runs.map(seedOf)).length], ["model", unique(D.runs.map((run) => run.model)).length], ["scoring", D.scorings.length]])
    $(id).closest("label").hidden = count < 2;
  $("level").closest("label").hidden = state.rule !== "matched";
  for (const id of ["query", "level"]) if (document.activeElement !== $(id)) $(id).value = state[id === "query" ? "q" : id];
  drawMethods();
  for (const node of document.querySelectorAll("[data-rule]")) node.textContent = ruleText();
  $("found").textContent = fill(word("runs_found"), { n: visibleRuns().length, all: D.runs.length });
}

// The legend of all charts: pressing a method hides or shows it.
function drawMethods() {
  const hidden = hiddenMethods(), focused = document.activeElement && document.activeElement.dataset.method;
  $("methods").replaceChildren(...D.methods.map((method, at) => {
    const count = D.runs.filter((run) => run.method === at).length;
    const chip = el("button", { type: "button", class: "chip method", "data-method": at, "aria-pressed": String(!hidden.has(at)), title: method.name },
      swatch(method), el("span", {}, pick(method.label)), el("b", {}, String(count)));
    chip.addEventListener("click", () => {
      if (hidden.has(at)) hidden.delete(at); else hidden.add(at);
      update({ off: [...hidden].sort((a, b) => a - b).join(".") });
    });
    return chip;
  }));
  if (focused !== undefined) $("methods").querySelector(`[data-method="${focused}"]`).focus();
}

// Attacks of the shown runs, in the colours of their methods.
const ATTACK_KEYS = RUN_KEYS;
function attackRows() {
  const visible = new Set(visibleRuns());
  return D.attacks.filter((row) => visible.has(D.runs[row.run]));
}
const attackLook = (row) => lookOf(D.runs[row.run]);

searchable({});
for (const key of ["target", "seed", "model", "scoring", "rule", "x", "y"]) $(key).addEventListener("change", (event) => update({ [key]: event.target.value }));
$("level").addEventListener("input", (event) => update({ level: event.target.value }));
$("clear").addEventListener("click", () => { $("query").value = ""; update(ALL_RUNS); });
view(SHOWN_KEYS, drawRunFilters);

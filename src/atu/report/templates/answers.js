// Answers before and after: search, filters, and one page of rows at a time.
const ALL_ANSWERS = { q: "", group: "", attack: "", outcome: "", page: "1" };
Object.assign(DEFAULTS, ALL_ANSWERS);
const PAGE_SIZE = 25, LONG_TEXT = 420;
const [ID, GROUP, ATTACK, PROMPT, REFERENCES, BEFORE, AFTER] = D.answers.fields.keys();
const [TEXT, SCORE, RIGHT, DEGENERATE, NLL, LOSS, P] = [0, 1, 2, 3, 4, 5, 6];
const OUTCOMES = D.has_after ? ["forgotten", "still", "never", "gained", "changed", "degenerate"] : ["known", "never", "degenerate"];

// Lower-cased once, so that a key stroke only compares strings.
const ROWS = D.answers.rows.map((row) => ({
  row,
  outcomes: outcomesOf(row),
  text: [row[ID], row[PROMPT], ...row[REFERENCES], row[BEFORE] ? row[BEFORE][TEXT] : "", row[AFTER] ? row[AFTER][TEXT] : ""].join("\n").toLowerCase(),
}));

function outcomesOf(row) {
  const found = new Set(), before = row[BEFORE], after = row[AFTER];
  if ((after || before)[LOSS] !== null) return found;
  if (before && after && before[RIGHT] === null) {
    if (before[TEXT] !== after[TEXT]) found.add("changed");
  } else if (before && after) {
    found.add(before[RIGHT] ? (after[RIGHT] ? "still" : "forgotten") : after[RIGHT] ? "gained" : "never");
    if (before[TEXT] !== after[TEXT]) found.add("changed");
  } else if (before && before[RIGHT] !== null) found.add(before[RIGHT] ? "known" : "never");
  if ((after || before)[DEGENERATE]) found.add("degenerate");
  return found;
}

function matching() {
  const words = state.q.toLowerCase().split(/\s+/).filter(Boolean);
  return ROWS.filter(({ row, text }) =>
    (!state.group || row[GROUP] === state.group || row[GROUP].startsWith(`${state.group}/`)) &&
    (!state.attack || row[ATTACK] === (state.attack === "-" ? "" : state.attack)) &&
    words.every((part) => text.includes(part)));
}

function drawAnswers() {
  if (!$("rows")) return;
  const found = matching();
  const shown = state.outcome ? found.filter((item) => item.outcomes.has(state.outcome)) : found;
  const pages = Math.max(1, Math.ceil(shown.length / PAGE_SIZE));
  const page = Math.min(pages, Math.max(1, parseInt(state.page, 10) || 1));
  drawFilters(found);
  $("found").textContent = fill(word("found"), { n: shown.length.toLocaleString("en"), all: ROWS.length.toLocaleString("en") });
  const slice = shown.slice((page - 1) * PAGE_SIZE, page * PAGE_SIZE);
  $("rows").replaceChildren(...(slice.length ? [heading(), ...slice.map(drawRow)] : [el("p", { class: "empty" }, word("nothing_found"))]));
  drawPager(page, pages);
}

function drawFilters(found) {
  const groups = unique(ROWS.map(({ row }) => row[GROUP])).sort();
  const families = unique(groups.map((group) => group.split("/")[0])).filter((family) => groups.filter((group) => group.startsWith(`${family}/`)).length > 1);
  options("group", [["", word("any")], ...families.map((family) => [family, `${family}/*`]), ...groups.map((group) => [group, group])], state.group);
  const attacks = unique(ROWS.map(({ row }) => row[ATTACK])).sort();
  options("attack", [["", word("any")], ...attacks.map((attack) => (attack ? [attack, attack.replaceAll("_", " ")] : ["-", word("plain")]))], state.attack);
  const counts = Object.fromEntries(OUTCOMES.map((name) => [name, 0]));
  for (const item of found) for (const name of item.outcomes) counts[name] += 1;
  const focused = document.activeElement && document.activeElement.dataset.outcome;
  $("outcomes").replaceChildren(...["", ...OUTCOMES].map((name) => {
    const label = [word(`outcome_${name || "all"}`), el("b", {}, (name ? counts[name] : found.length).toLocaleString("en"))];
    const chip = el("button", { type: "button", class: `chip ${name}`, "data-outcome": name, "aria-pressed": String(state.outcome === name) }, ...label);
    chip.addEventListener("click", () => update({ outcome: name, page: "1" }));
    return chip;
  }));
  // The chips were made anew: the keyboard stays on the one that was pressed.
  if (focused !== undefined) $("outcomes").querySelector(`[data-outcome="${focused}"]`).focus();
  const query = $("query");
  if (document.activeElement !== query) query.value = state.q;
}

function heading() {
  return el("div", { class: "row head", "aria-hidden": "true" }, el("div", {}, word("question")), el("div", {}, word("before")), el("div", {}, word("after")));
}

function drawRow({ row, outcomes }) {
  // A broken answer tells nothing of what the model knows, so it is not called forgotten.
  const outcome = ["degenerate", "forgotten", "still", "gained", "known", "never"].find((name) => outcomes.has(name));
  const meta = el("div", { class: "meta" },
    outcome ? el("span", { class: `badge ${worth(row[GROUP], outcome)}` }, word(`outcome_${outcome}`)) : null,
    el("code", {}, row[GROUP]), row[ATTACK] ? el("span", { class: "attack" }, row[ATTACK].replaceAll("_", " ")) : null);
  const accepted = row[REFERENCES].length ? el("p", { class: "accepted" }, `${word("accepted")}: `, marked(row[REFERENCES].join(" · "))) : null;
  return el("article", { class: "row", "data-id": row[ID], title: row[ID] },
    el("div", { class: "question" }, meta, long(row[PROMPT]), accepted),
    drawSide("before", row[BEFORE]), drawSide("after", row[AFTER]));
}

// Forgetting is wanted of the concept, and unwanted of everything else.
function worth(group, outcome) {
  if (outcome === "degenerate") return "broken";
  if (outcome !== "forgotten" && outcome !== "still") return "";
  return group.startsWith("forget/") === (outcome === "forgotten") ? "wanted" : "unwanted";
}

function drawSide(name, side) {
  const cell = el("div", { class: `side ${name}` }, el("span", { class: "side-name" }, word(name)));
  if (!side) {
    cell.append(el("p", { class: "gap" }, name === "after" && !D.has_after ? "–" : word("not_asked")));
    return cell;
  }
  if (side[LOSS] !== null) {
    cell.append(el("p", {}, `${word("loss")} ${side[LOSS].toFixed(3)}`));
    return cell;
  }
  cell.append(side[TEXT].trim() ? long(side[TEXT]) : el("p", { class: "gap" }, word("empty_answer")));
  const part = side[SCORE] !== null && side[SCORE] > 0 && side[SCORE] < 1 ? ` ${side[SCORE].toFixed(2)}` : "";
  cell.append(el("p", { class: "score" },
    side[RIGHT] === null ? null : el("span", { class: side[RIGHT] ? "right" : "wrong" }, `${word(side[RIGHT] ? "right" : "wrong")}${part}`),
    side[DEGENERATE] ? el("span", { class: "degenerate-flag" }, `⚠ ${word("degenerate")}`) : null,
    side[NLL] === null ? null : el("span", { class: "nll" }, `NLL ${side[NLL].toFixed(2)}`),
    side[P] === null ? null : el("span", { class: "p" }, `p ${side[P].toFixed(2)}`)));
  return cell;
}

function long(text) {
  const body = el("p", { class: "text" }, marked(text));
  if (text.length <= LONG_TEXT) return body;
  body.classList.add("clamped");
  const button = el("button", { type: "button", class: "more" }, word("show_all"));
  button.addEventListener("click", () => { body.classList.remove("clamped"); button.remove(); });
  return el("div", {}, body, button);
}

function marked(text) {
  const parts = document.createDocumentFragment(), lower = text.toLowerCase();
  const words = state.q.toLowerCase().split(/\s+/).filter(Boolean);
  // Lower-casing may change the length of a text (İ); then nothing is marked rather than the wrong part.
  if (!words.length || lower.length !== text.length) {
    parts.append(text);
    return parts;
  }
  let at = 0;
  while (at < text.length) {
    const hits = words.map((part) => [lower.indexOf(part, at), part.length]).filter(([start]) => start >= 0).sort((a, b) => a[0] - b[0] || b[1] - a[1]);
    if (!hits.length) break;
    const [start, size] = hits[0];
    parts.append(text.slice(at, start), el("mark", {}, text.slice(start, start + size)));
    at = start + size;
  }
  parts.append(text.slice(at));
  return parts;
}

function drawPager(page, pages) {
  const turn = (key, to) => {
    const button = el("button", { type: "button" }, word(key));
    button.disabled = to < 1 || to > pages;
    button.addEventListener("click", () => { update({ page: String(to) }); $("found").scrollIntoView({ block: "start" }); });
    return button;
  };
  $("pager").replaceChildren(...(pages < 2 ? [] : [turn("previous", page - 1), el("span", {}, fill(word("page_of"), { page, pages })), turn("next", page + 1)]));
}

if ($("query")) {
  searchable({ page: "1" });
  for (const key of ["group", "attack"]) $(key).addEventListener("change", (event) => update({ [key]: event.target.value, page: "1" }));
  $("clear").addEventListener("click", () => { $("query").value = ""; update(ALL_ANSWERS); });
}
view(Object.keys(ALL_ANSWERS), drawAnswers);

// Attacks: a curve where an attack has steps, else a place for each setting.
// The page's own script says which rows are shown (`attackRows`, by the state of `ATTACK_KEYS`) and how each looks
// (`attackLook`).
Object.assign(DEFAULTS, { attacked: "" });
const attackGroups = () => Object.keys(D.metrics).filter((name) => D.attacks.some((row) => row.group === name));
const attackName = (name) => (D.words[`attack:${name}`] ? word(`attack:${name}`) : name);

function countsSteps(rows) {
  const steps = new Map();
  for (const row of rows) if (row.step !== null) steps.set(`${row.run} ${row.setting}`, (steps.get(`${row.run} ${row.setting}`) || new Set()).add(row.step));
  return [...steps.values()].some((found) => found.size > 1);
}

// A curve for each run and setting; without steps the settings stand side by side, and a series is a run.
function attackSeries(rows) {
  const found = new Map(), hasSteps = countsSteps(rows);
  for (const row of rows) {
    const key = hasSteps ? `${row.run} ${row.setting}` : row.run;
    if (!found.has(key)) found.set(key, { look: attackLook(row), run: row.run, rows: [] });
    found.get(key).rows.push(row);
  }
  return [...found.values()];
}

function attackLines(row) {
  return [
    `${attackName(row.attack)} · ${row.setting}`,
    ...(attackLook(row).label === row.setting ? [] : [attackLook(row).label]),
    ...(row.step === null ? [] : [`${word("attack_step")} ${short(row.step)}`]),
    scoreLine(row.group, row.score),
    ...(row.recovered === null ? [] : [`${word("recovered")} ${percent(100 * row.recovered)}`]),
    ...(row.degenerate === null ? [] : [`${word("degenerate")} ${percent(100 * row.degenerate)}`]),
  ];
}

function drawAttack(host, rows, unit) {
  const series = attackSeries(rows), settings = unique(rows.map((row) => row.setting));
  const hasSteps = countsSteps(rows);
  const box = frame(host, 240, { left: 40, right: 16, top: 24, bottom: 44 });
  const scored = rows.filter((row) => row.score && !(hasSteps && row.step === null));
  const top = unit === "%" ? 100 : 1.1 * Math.max(...scored.map((row) => row.score[2] ?? row.score[0]), 1e-9);
  const y = linear(0, top, box.bottom, box.top), steps = scored.map((row) => row.step);
  const pad = (box.right - box.left) / (2 * settings.length);
  const x = hasSteps ? linear(Math.min(...steps), Math.max(...steps), box.left + 8, box.right - 8) : linear(0, settings.length - 1, box.left + pad, box.right - pad);
  const xTicks = hasSteps ? ticks(Math.min(...steps), Math.max(...steps), 5).map((value) => ({ at: value, text: short(value) }))
    : settings.map((setting, at) => ({ at, text: setting.length * 6.5 > 2 * pad ? `${setting.slice(0, Math.max(2, Math.floor((2 * pad) / 6.5) - 1))}…` : setting }));
  box.root.setAttribute("aria-label", `${attackName(rows[0].attack)}. ${word("chart_keys")}`);
  axis(box, x, y, xTicks, ticks(0, top, 5).map((value) => ({ at: value, text: short(value) })), hasSteps ? word("attack_step") : word("attack_setting"), unit);
  const drawn = series.map((one, at) => ({
    ...one,
    isLoose: !hasSteps,
    points: [...one.rows].sort((a, b) => a.step - b.step).map((row) => {
      if (!scored.includes(row)) return null;
      // Series side by side, so that no point hides another.
      const aside = hasSteps ? 0 : (at - (series.length - 1) / 2) * Math.min(10, (1.5 * pad) / series.length);
      const px = x(hasSteps ? row.step : settings.indexOf(row.setting)) + aside, [value, low, high] = row.score;
      const whiskers = low === null || high === null || hasSteps ? [] : [[px, y(low), px, y(high)]];
      return { x: px, y: y(value), lines: () => attackLines(row), size: hasSteps ? 3.5 : 5, whiskers };
    }),
  }));
  for (const one of drawn) trace(box, one);
  explore(box, drawn);
  host.replaceChildren(box.root);
}

function drawAttacks() {
  if (!$("attack-charts")) return;
  const groups = attackGroups(), group = groups.includes(state.attacked) ? state.attacked : groups.includes(D.headline.forget) ? D.headline.forget : groups[0];
  options("attack-group", groups.map((name) => [name, pick(D.metrics[name].label)]), group);
  const rows = attackRows().filter((row) => row.group === group), names = unique(rows.map((row) => row.attack));
  const metric = D.metrics[group];
  const made = names.map((name) => {
    const own = rows.filter((row) => row.attack === name), host = el("div", { class: "chart" });
    const looks = new Map(attackSeries(own).map((one) => [one.look.label, one.look]));
    const legend = looks.size < 2 ? null : el("div", { class: "legend" }, ...[...looks].map(([label, look]) => el("span", {}, swatch(look), ` ${label}`)));
    return { host, own, figure: el("figure", {}, el("figcaption", {}, attackName(name), el("small", {}, ` ${metric.arrow} ${pick(metric.label)}`)), legend, host) };
  });
  $("attack-charts").replaceChildren(...(made.length ? made.map((item) => item.figure) : [el("p", { class: "empty" }, word("no_attack_fits"))]));
  for (const { host, own } of made) if (own.some((row) => row.score)) drawAttack(host, own, metric.unit); else host.replaceChildren(el("p", { class: "gap" }, word("no_number")));
  drawAttackRows();
}

// One row a series and group: where most came back.
function drawAttackRows() {
  const worst = new Map();
  for (const row of attackRows()) {
    const key = [row.run, row.attack, row.setting, row.group].join("\n"), known = worst.get(key);
    if (!known || (row.recovered ?? -Infinity) >= (known.recovered ?? -Infinity)) worst.set(key, row);
  }
  const hasRuns = D.attacks.some((row) => row.run !== undefined);
  const head = ["attack_name", "attack_setting", ...(hasRuns ? ["run"] : []), "group", "attack_step", "score", "recovered", "degenerate"];
  $("attack-rows").replaceChildren(
    el("thead", {}, el("tr", {}, ...head.map((key) => el("th", { scope: "col", class: ["attack_step", "score", "recovered", "degenerate"].includes(key) ? "n" : "" }, word(key))))),
    el("tbody", {}, ...[...worst.values()].map((row) => {
      const metric = D.metrics[row.group], number = (text) => el("td", { class: "n" }, text);
      return el("tr", {}, el("th", { scope: "row" }, attackName(row.attack)), el("td", {}, row.setting), hasRuns ? el("td", {}, D.runs[row.run].name) : null,
        el("td", {}, `${metric.arrow} ${pick(metric.label)}`), number(row.step === null ? "–" : short(row.step)),
        number(row.score ? withUnit(row.score[0], metric.unit) + interval(row.score, metric.unit) : "–"),
        number(row.recovered === null ? "–" : percent(100 * row.recovered)), number(row.degenerate === null ? "–" : percent(100 * row.degenerate)));
    })));
}

if ($("attack-group")) {
  $("attack-group").addEventListener("change", (event) => update({ attacked: event.target.value }));
  view(["attacked", ...ATTACK_KEYS], drawAttacks);
}

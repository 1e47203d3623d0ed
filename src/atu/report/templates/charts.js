// Charts: the trade-off, the scores over the stages, and one small panel a training metric.
const MARKERS = { forget: "o", neighbor: "s", utility: "^", degenerate: "D" };
const familyLook = (family) => ({ color: `var(--${family})`, marker: MARKERS[family], kind: `by-family ${family}` });
const EVALUATED = D.stages.filter((stage) => Object.keys(stage.scores).length);
const scoreOf = (stage, family) => (D.headline[family] ? stage.scores[D.headline[family]] : undefined);
const percentOnly = (family) => D.headline[family] && D.metrics[D.headline[family]].unit === "%";
const legend = (id, families) => $(id).replaceChildren(...families.map((family) => el("span", {}, swatch(familyLook(family)), ` ${metricName(D.headline[family])}`)));

function drawTradeoff() {
  const families = ["neighbor", "utility"].filter(percentOnly);
  if (!families.length) return;
  const box = frame($("tradeoff"), 340, { left: 40, right: 16, top: 26, bottom: 44 });
  const ends = families.flatMap((family) => EVALUATED.map((stage) => scoreOf(stage, family)).filter(Boolean).map((score) => score[1] ?? score[0]));
  const bottom = Math.max(0, Math.floor(Math.min(80, ...ends) / 10) * 10 - 10);
  const x = linear(0, 100, box.left, box.right), y = linear(bottom, 100, box.bottom, box.top);
  const forget = D.metrics[D.headline.forget];
  box.root.setAttribute("aria-label", `${word("tradeoff_title")}. ${word("chart_keys")}`);
  const start = EVALUATED[0] && { forget: scoreOf(EVALUATED[0], "forget"), neighbor: scoreOf(EVALUATED[0], "neighbor") };
  if (start && start.forget && start.neighbor) {
    const floor = 0.9 * start.neighbor[0];
    box.root.append(
      svg("rect", { class: "goal", x: x(0), y: y(100), width: x(start.forget[0] / 3) - x(0), height: y(floor) - y(100) }),
      svg("text", { class: "goal-text", x: x(0) + 6, y: y(floor) + 13 }, `↖ ${word("goal")}`),
    );
  }
  axis(box, x, y, percentTicks, ticks(bottom, 100, 5).map((value) => ({ at: value, text: String(value) })), `${pick(forget.label)}, % (${pick(forget.direction)} ←)`, `% (${pick(D.metrics[D.headline[families[0]]].direction)} ↑)`);
  const series = families.map((family) => {
    const path = EVALUATED.filter((stage) => scoreOf(stage, "forget") && scoreOf(stage, family));
    const points = path.map((stage, at) => {
      const across = scoreOf(stage, "forget"), up = scoreOf(stage, family), isEnd = at === 0 || at === path.length - 1;
      const lines = () => [stage.label, scoreLine(D.headline.forget, across), scoreLine(D.headline[family], up)];
      return { x: x(across[0]), y: y(up[0]), size: isEnd ? 6 : 4, whiskers: isEnd ? cross(across, up, x, y) : [], lines };
    });
    return { look: familyLook(family), points };
  });
  for (const one of series) trace(box, one);
  series[0].points.forEach(({ x: px, y: py }, at, all) => {
    if (at === 0 || at === all.length - 1)
      box.root.append(svg("text", { class: "end", x: px, y: py + 22, "text-anchor": px > box.right - 30 ? "end" : "middle" }, word(at ? "after" : "before").toLowerCase()));
  });
  explore(box, series);
  $("tradeoff").replaceChildren(box.root);
  legend("tradeoff-legend", families);
}

function drawOverStages() {
  const families = ["forget", "neighbor", "utility", "degenerate"].filter(percentOnly);
  const box = frame($("overstages"), 340, { left: 40, right: 16, top: 26, bottom: 44 });
  const pad = Math.min(40, (box.right - box.left) / (2 * EVALUATED.length));
  const x = linear(0, Math.max(1, EVALUATED.length - 1), box.left + pad, box.right - pad), y = linear(0, 100, box.bottom, box.top);
  const room = (box.right - box.left) / EVALUATED.length;
  const every = Math.ceil(30 / room);
  const xTicks = EVALUATED.map((stage, index) => ({ at: index, text: room > 7.5 * stage.label.length ? stage.label : String(stage.index) }))
    .filter((_, index) => index % every === 0);
  box.root.setAttribute("aria-label", `${word("overstages_title")}. ${word("chart_keys")}`);
  axis(box, x, y, xTicks, percentTicks, word("stage"), "%");
  const series = families.map((family) => ({
    look: familyLook(family),
    points: EVALUATED.map((stage, at) => {
      const score = scoreOf(stage, family);
      return score && { x: x(at), y: y(score[0]), score, size: 4.5, lines: () => [stage.label, scoreLine(D.headline[family], score), `n = ${score[3]}`] };
    }),
  }));
  for (const { look, points } of series)
    for (const piece of pieces(points)) box.root.append(band(piece.filter(({ score }) => hasInterval(score)).map((point) => [point.x, y(point.score[1]), y(point.score[2])]), look.kind));
  for (const one of series) trace(box, one);
  explore(box, series);
  $("overstages").replaceChildren(box.root);
  legend("overstages-legend", families);
}

function drawPanel(panel, host) {
  const box = frame(host, 170, { left: 52, right: 12, top: 10, bottom: 34 });
  const all = panel.curves.flatMap((curve) => curve.segments.flat());
  const steps = all.map((point) => point[0]);
  let low = Math.min(...all.map((point) => point[2])), high = Math.max(...all.map((point) => point[3]));
  if (low === high) [low, high] = [low - (Math.abs(low) || 1) * 0.5, high + (Math.abs(high) || 1) * 0.5];
  const [first, last] = [Math.min(...steps), Math.max(...steps)];
  const x = linear(first, last, box.left, box.right), y = linear(low, high, box.bottom - 4, box.top + 4);
  for (const [, start] of D.stage_starts)
    if (start > first && start < last) box.root.append(svg("line", { class: "stage-start", x1: x(start), x2: x(start), y1: box.top, y2: box.bottom }));
  const xTicks = [{ at: first, text: String(first), anchor: "start" }, { at: last, text: String(last), anchor: "end" }];
  axis(box, x, y, first === last ? xTicks.slice(0, 1) : xTicks, ticks(low, high, 4).map((value) => ({ at: value, text: short(value) })), word("step"), "");
  panel.curves.forEach((curve, index) => curve.segments.forEach((points) => {
    box.root.append(
      band(points.map((p) => [x(p[0]), y(p[2]), y(p[3])]), `series-${index}`),
      svg("polyline", { class: `curve series-${index}`, points: points.map((p) => `${x(p[0])},${y(p[1])}`).join(" ") }),
    );
    if (points.length === 1) box.root.append(svg("circle", { class: `dot series-${index}`, cx: x(points[0][0]), cy: y(points[0][1]), r: 3 }));
  }));
  const cursor = svg("line", { class: "cursor", y1: box.top, y2: box.bottom, visibility: "hidden" });
  box.root.append(cursor);
  followCursor(box, panel, cursor, x);
  host.replaceChildren(box.root);
}

function followCursor(box, panel, cursor, x) {
  const steps = [...new Set(panel.curves.flatMap((curve) => curve.segments.flat().map((point) => point[0])))].sort((a, b) => a - b);
  let at = steps.length - 1;
  const show = () => {
    const step = steps[at], bounds = box.root.getBoundingClientRect(), scale = bounds.width / box.width;
    cursor.setAttribute("x1", x(step));
    cursor.setAttribute("x2", x(step));
    cursor.setAttribute("visibility", "visible");
    const lines = panel.curves.map((curve) => [curve, curve.segments.flat().find((point) => point[0] === step)]).filter((pair) => pair[1])
      .map(([curve, point]) => `${pick(D.metrics[curve.name].short)} ${short(point[1])}` + (point[2] === point[3] ? "" : ` (${word("mean_of")} ${short(point[2])} – ${short(point[3])})`));
    showTip([`${word("step")} ${step}`, ...lines], bounds.left + x(step) * scale, bounds.top + 30);
  };
  const hide = () => { cursor.setAttribute("visibility", "hidden"); hideTip(); };
  box.root.setAttribute("tabindex", "0");
  box.root.setAttribute("aria-label", pick(D.metrics[panel.name].label));
  box.root.addEventListener("pointermove", (event) => {
    const bounds = box.root.getBoundingClientRect();
    const place = ((event.clientX - bounds.left) * box.width) / bounds.width;
    at = steps.reduce((best, step, index) => (Math.abs(x(step) - place) < Math.abs(x(steps[best]) - place) ? index : best), 0);
    show();
  });
  box.root.addEventListener("keydown", (event) => {
    const move = { ArrowLeft: at - 1, ArrowRight: at + 1, Home: 0, End: steps.length - 1 }[event.key];
    if (move === undefined) return;
    event.preventDefault();
    at = Math.max(0, Math.min(steps.length - 1, move));
    show();
  });
  box.root.addEventListener("pointerleave", hide);
  box.root.addEventListener("blur", hide);
}

function panelFigure(panel) {
  const metric = D.metrics[panel.name];
  const caption = el("figcaption", { title: pick(metric.meaning) },
    `${metric.arrow === "·" ? "" : metric.arrow + " "}${pick(metric.short)}`, metric.unit ? el("small", {}, ` ${metric.unit}`) : null);
  const keys = panel.curves.length < 2 ? null : el("div", { class: "legend" }, ...panel.curves.map((curve, index) =>
    el("span", {}, svg("svg", { width: 18, height: 8, "aria-hidden": "true" }, svg("line", { class: `curve series-${index}`, x1: 0, x2: 18, y1: 4, y2: 4 })), ` ${pick(D.metrics[curve.name].short)}`)));
  const host = el("div", { class: "chart" });
  return { figure: el("figure", {}, caption, keys, host), host, panel };
}

function drawPanels() {
  const families = unique(D.panels.map((panel) => panel.family));
  const made = D.panels.map(panelFigure);
  $("panels").replaceChildren(...families.flatMap((family) => [
    el("h3", {}, D.families[family] ? pick(D.families[family]) : family),
    el("div", { class: "panels" }, ...made.filter((item) => item.panel.family === family).map((item) => item.figure)),
  ]));
  // Drawn once they are in the page, since a chart is as wide as its place.
  for (const { panel, host } of made) drawPanel(panel, host);
}

view([], () => {
  if ($("tradeoff")) drawTradeoff();
  if ($("overstages")) drawOverStages();
  if ($("panels")) drawPanels();
});

// Attacks of one run: a look for each setting, in the order of the file.
const ATTACK_KEYS = [];
const attackRows = () => D.attacks;
function attackLook(row) {
  const at = unique(D.attacks.filter((other) => other.attack === row.attack).map((other) => other.setting)).indexOf(row.setting);
  const markers = Object.keys(OUTLINES);
  return { color: D.palette[at % D.palette.length], marker: markers[at % markers.length], label: row.setting };
}

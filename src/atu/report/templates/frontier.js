// The frontier of forgetting against keeping, and the scores over the stages: one path a run.
function runLines(run, stage, scores) {
  return [run.name, `${lookOf(run).label} · ${spaced(run.target)} · ${word("header_seed").toLowerCase()} ${seedOf(run)}`, stage.label, ...scores];
}

function drawFrontier() {
  const [across, up] = [forgetName(), keepName()], runs = visibleRuns(), host = $("frontier-chart");
  const isPoint = (stage) => Boolean(stage && stage.scores[across] && stage.scores[up]);
  const paths = runs.map((run) => ({ run, shown: shownOf(run), stages: stagesOf(run) })).filter((path) => path.stages.some(isPoint));
  noteMissing(runs, across, up);
  if (!paths.length) { host.replaceChildren(el("p", { class: "empty" }, word("no_path"))); return; }
  const box = frame(host, innerWidth < 640 ? 380 : 500, { left: 40, right: 16, top: 26, bottom: 44 });
  const all = paths.flatMap((path) => path.stages).filter(isPoint);
  // Intervals belong to the shown marks alone, and must not end at the edge.
  const drawn = [...all.map((stage) => [stage, false]), ...paths.filter(({ shown }) => isPoint(shown)).map(({ shown }) => [shown, true])];
  const ends = (name) => drawn.flatMap(([{ scores }, isShown]) => isShown && hasInterval(scores[name]) ? scores[name].slice(0, 3) : [scores[name][0]]);
  const right = Math.min(100, Math.ceil((Math.max(...ends(across)) + 4) / 10) * 10);
  const lowest = Math.min(...ends(up)), highest = Math.max(...ends(up));
  const bottom = Math.max(0, Math.floor((lowest - 4) / 10) * 10), top = Math.min(100, Math.ceil((highest + 4) / 10) * 10);
  const x = linear(0, right, box.left, box.right), y = linear(bottom, top, box.bottom, box.top);
  const inside = (value, low, high) => Math.max(low, Math.min(high, value));
  const title = (name, arrow) => `${pick(D.metrics[name].label)}, % (${pick(D.metrics[name].direction)} ${arrow})`;
  box.root.setAttribute("aria-label", `${word("frontier_title")}. ${word("chart_keys")}`);
  axis(box, x, y, ticks(0, right, 6).map((value) => ({ at: value, text: String(value) })), ticks(bottom, top, 6).map((value) => ({ at: value, text: String(value) })), title(across, "←"), title(up, "↑"));
  box.root.append(svg("text", { class: "goal-text", x: box.left + 8, y: box.top + 16 }, `↖ ${word("better")}`));
  if (state.rule === "matched" && hasLevel() && level() >= 0 && level() <= right)
    box.root.append(svg("line", { class: "level", x1: x(level()), x2: x(level()), y1: box.top, y2: box.bottom }));
  const series = paths.map(({ run, shown, stages }) => {
    // An interpolated point lies before the first stage at or under its level.
    const isBetween = isPoint(shown) && !stages.includes(shown);
    const at = stages.findIndex((stage) => stage.scores[across] && stage.scores[across][0] <= level());
    const path = isBetween ? [...stages.slice(0, at), shown, ...stages.slice(at)] : stages;
    return { run: run.id, look: lookOf(run), points: path.map((stage) => isPoint(stage) && pointOf(stage)) };
    function pointOf(stage) {
      const [a, u] = [stage.scores[across], stage.scores[up]], isShown = stage === shown;
      const whiskers = isShown ? cross(a, u, (value) => x(inside(value, 0, right)), (value) => y(inside(value, bottom, top))) : [];
      return { x: x(a[0]), y: y(u[0]), whiskers, size: isShown ? 6 : 2.6, isHollow: stage.kind === "before", lines: () => runLines(run, stage, [scoreLine(across, a), scoreLine(up, u)]) };
    }
  });
  if (paths.length > 8) box.root.classList.add("many");
  for (const one of series) trace(box, one);
  explore(box, series);
  host.replaceChildren(box.root);
}

// What is not in the picture is said below it.
function noteMissing(runs, across, up) {
  const missing = runs.filter((run) => { const shown = shownOf(run); return !shown || !shown.scores[across] || !shown.scores[up]; });
  const names = missing.slice(0, 5).map((run) => run.name).join(", ") + (missing.length > 5 ? ", …" : "");
  $("frontier-missing").textContent = missing.length ? fill(word(state.rule === "matched" ? "missing_matched" : "missing_last"), { n: missing.length, names }) : "";
}

function drawPaths() {
  const names = [forgetName(), keepName(), D.headline.utility, D.headline.degenerate].filter(Boolean);
  const made = unique(names).map((name) => ({ name, host: el("div", { class: "chart" }) }));
  $("paths-charts").replaceChildren(...made.map(({ name, host }) => el("figure", {},
    el("figcaption", {}, metricName(name), el("small", {}, ` ${D.metrics[name].unit} · ${pick(D.metrics[name].direction)}`)), host)));
  // Drawn once they are in the page, since a chart is as wide as its place.
  for (const { name, host } of made) drawPath(name, host);
}

function drawPath(name, host) {
  const runs = visibleRuns().filter((run) => stagesOf(run).some((stage) => stage.scores[name]));
  if (!runs.length) { host.replaceChildren(el("p", { class: "empty" }, word("no_path"))); return; }
  const box = frame(host, 260, { left: 40, right: 16, top: 14, bottom: 44 }), unit = D.metrics[name].unit;
  const most = Math.max(...runs.map((run) => stagesOf(run).length));
  const highest = Math.max(...runs.flatMap((run) => stagesOf(run).map((stage) => (stage.scores[name] || [0])[0])));
  const top = unit === "%" && highest > 40 ? 100 : unit === "%" ? Math.max(10, Math.ceil(highest / 10) * 10) : highest * 1.1;
  const x = linear(0, Math.max(1, most - 1), box.left + 12, box.right - 12), y = linear(0, top, box.bottom, box.top);
  const every = Math.ceil(most / 12);
  box.root.setAttribute("aria-label", `${pick(D.metrics[name].label)}. ${word("chart_keys")}`);
  axis(box, x, y, [...Array(most).keys()].filter((at) => at % every === 0).map((at) => ({ at, text: String(at) })), ticks(0, top, 5).map((value) => ({ at: value, text: short(value) })), word("evaluation"), "");
  const series = runs.map((run) => ({
    run: run.id,
    look: lookOf(run),
    points: stagesOf(run).map((stage, at) => stage.scores[name] && { x: x(at), y: y(stage.scores[name][0]), size: 2.8, lines: () => runLines(run, stage, [scoreLine(name, stage.scores[name])]) }),
  }));
  for (const one of series) trace(box, one);
  explore(box, series);
  host.replaceChildren(box.root);
}

if ($("frontier-chart")) {
  view(SHOWN_KEYS, drawFrontier);
  if ($("paths-charts")) view([...RUN_KEYS, "x", "y"], drawPaths);
}

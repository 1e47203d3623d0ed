// Parts of charts: scales, axes, markers, and how pointer and keyboard read a point.
const percent = (value) => (value === null ? "–" : `${value.toFixed(1)}%`);
// As the tables write numbers: one decimal for percent, three for others, a dash for a gap.
const plain = (value, unit) => (value === null || value === undefined ? "–" : value.toFixed(unit === "%" || Math.abs(value) >= 100 ? 1 : 3));
const signed = (value, unit) => {
  const text = plain(value, unit);
  // A change that rounds to nothing has no sign.
  if (!/[1-9]/.test(text)) return text.replace("-", "");
  return text.startsWith("-") ? text.replace("-", "−") : `+${text}`;
};
const withUnit = (value, unit) => plain(value, unit) + (unit === "%" ? "%" : unit ? ` ${unit}` : "");
const hasInterval = (score) => typeof score[1] === "number" && typeof score[2] === "number";
const interval = (score, unit) => (hasInterval(score) ? ` (${[score[1], score[2]].map((end) => plain(end, unit) + (unit === "%" ? "%" : "")).join(" – ")})` : "");
const metricName = (name) => `${D.metrics[name].arrow} ${pick(D.metrics[name].label)}`;
const scoreLine = (name, score) => `${metricName(name)} ${withUnit(score[0], D.metrics[name].unit)}${interval(score, D.metrics[name].unit)}`;
const short = (value) => {
  if (value === 0) return "0";
  const size = Math.abs(value);
  return size >= 1e5 || size < 1e-3 ? value.toExponential(1).replace("e+", "e") : String(+value.toPrecision(3));
};
const linear = (from, to, start, end) => (value) => start + ((value - from) / (to - from || 1)) * (end - start);

function ticks(low, high, count) {
  const rough = (high - low || Math.abs(high) || 1) / count;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].map((part) => part * power).find((size) => size >= rough);
  const found = [];
  for (let value = Math.ceil(low / step) * step; value <= high + step * 1e-9; value += step) found.push(+value.toPrecision(12));
  return found;
}

function frame(host, height, margin) {
  const width = Math.max(260, host.clientWidth || 480);
  const root = svg("svg", { viewBox: `0 0 ${width} ${height}`, width: "100%", role: "img" });
  return { root, width, height, left: margin.left, right: width - margin.right, top: margin.top, bottom: height - margin.bottom };
}

function axis(box, x, y, xTicks, yTicks, xText, yText) {
  for (const tick of yTicks) {
    box.root.append(
      svg("line", { class: "grid", x1: box.left, x2: box.right, y1: y(tick.at), y2: y(tick.at) }),
      svg("text", { class: "tick", x: box.left - 7, y: y(tick.at) + 3.5, "text-anchor": "end" }, tick.text),
    );
  }
  for (const tick of xTicks)
    box.root.append(svg("text", { class: "tick", x: x(tick.at), y: box.bottom + 16, "text-anchor": tick.anchor || "middle" }, tick.text));
  box.root.append(svg("line", { class: "axis", x1: box.left, x2: box.right, y1: box.bottom, y2: box.bottom }));
  if (xText) box.root.append(svg("text", { class: "title", x: (box.left + box.right) / 2, y: box.height - 6, "text-anchor": "middle" }, xText));
  if (yText) box.root.append(svg("text", { class: "title", x: box.left, y: 13 }, yText));
}

// Markers by matplotlib's names, so that a method has the same one in figures and pages.
const polygon = (corners) => (x, y, r) => `M${corners.map(([across, down]) => `${x + across * r},${y + down * r}`).join("L")}z`;
const PLUS = [[-0.4, -1.1], [0.4, -1.1], [0.4, -0.4], [1.1, -0.4], [1.1, 0.4], [0.4, 0.4], [0.4, 1.1], [-0.4, 1.1], [-0.4, 0.4], [-1.1, 0.4], [-1.1, -0.4], [-0.4, -0.4]];
const OUTLINES = {
  o: (x, y, r) => `M${x - r},${y}a${r},${r} 0 1,0 ${2 * r},0a${r},${r} 0 1,0 ${-2 * r},0`,
  s: polygon([[-0.9, -0.9], [0.9, -0.9], [0.9, 0.9], [-0.9, 0.9]]),
  "^": polygon([[0, -1.15], [1.1, 0.85], [-1.1, 0.85]]),
  D: polygon([[0, -1.2], [1.2, 0], [0, 1.2], [-1.2, 0]]),
  v: polygon([[0, 1.15], [1.1, -0.85], [-1.1, -0.85]]),
  P: polygon(PLUS),
  X: polygon(PLUS.map(([across, down]) => [(across + down) * 0.75, (across - down) * 0.75])),
  "<": polygon([[-1.15, 0], [0.85, 1.1], [0.85, -1.1]]),
  ">": polygon([[1.15, 0], [-0.85, 1.1], [-0.85, -1.1]]),
  "*": polygon([...Array(10).keys()].map((at) => [Math.sin((at * Math.PI) / 5), -Math.cos((at * Math.PI) / 5)].map((part) => part * (at % 2 ? 0.55 : 1.3)))),
};
const outline = (marker, x, y, r) => OUTLINES[marker](x, y, r);

const percentTicks = [0, 20, 40, 60, 80, 100].map((value) => ({ at: value, text: String(value) }));

// A legend's entry, and whatever else shows how one thing is drawn.
function swatch(look) {
  const icon = svg("svg", { class: `trace ${look.kind || ""}`, width: 22, height: 14, "aria-hidden": "true" }, svg("line", { class: "curve", x1: 0, x2: 22, y1: 7, y2: 7 }), svg("path", { class: "mark", d: outline(look.marker, 11, 7, 4.5) }));
  icon.style.setProperty("--look", look.color);
  return icon;
}

// The area between the low and the high end of each `[x, low, high]`.
const band = (ends, look) => svg("polygon", { class: `band ${look}`, points: [...ends.map(([x, , high]) => `${x},${high}`), ...[...ends].reverse().map(([x, low]) => `${x},${low}`)].join(" ") });

// Lines from end to end of the intervals of a point with a score on each axis.
const cross = (across, up, x, y) => [
  ...(hasInterval(across) ? [[x(across[1]), y(up[0]), x(across[2]), y(up[0])]] : []),
  ...(hasInterval(up) ? [[x(across[0]), y(up[1]), x(across[0]), y(up[2])]] : []),
];

// What a curve is drawn in: a missing value breaks it.
function pieces(values) {
  const found = [[]];
  for (const value of values) if (value) found.at(-1).push(value); else found.push([]);
  return found.filter((piece) => piece.length);
}

// Curve and points of one series; a point without a number breaks the curve.
function trace(box, one) {
  const node = svg("g", { class: `trace ${one.look.kind || ""}`, ...(one.run === undefined ? {} : { "data-run": one.run }) });
  node.style.setProperty("--look", one.look.color);
  if (!one.isLoose) for (const piece of pieces(one.points)) node.append(svg("polyline", { class: "curve", points: piece.map(({ x, y }) => `${x},${y}`).join(" ") }));
  const points = one.points.filter(Boolean);
  for (const [x1, y1, x2, y2] of points.flatMap((point) => point.whiskers || [])) node.append(svg("line", { class: "whisker", x1, y1, x2, y2 }));
  // One element for all marks of a kind: a chart of many runs has thousands.
  for (const look of ["", "hollow"]) {
    const marks = points.filter((point) => Boolean(point.isHollow) === (look === "hollow"));
    if (marks.length) node.append(svg("path", { class: `mark ${look}`, d: marks.map(({ x, y, size }) => outline(one.look.marker, x, y, size)).join("") }));
  }
  box.root.append(node);
}

function emphasise(run) {
  for (const node of document.querySelectorAll(".is-on")) node.classList.remove("is-on");
  document.body.classList.toggle("has-emphasis", run !== undefined);
  if (run !== undefined) for (const node of document.querySelectorAll(`[data-run="${run}"]`)) node.classList.add("is-on");
}

// A chart of many points is one tab stop: the pointer finds the nearest point, the arrow keys walk along a series and between them.
function explore(box, series) {
  const rows = series.map((one) => one.points.filter(Boolean).map((point) => ({ ...point, run: one.run }))).filter((points) => points.length);
  if (!rows.length) return;
  const ring = svg("circle", { class: "ring", r: 10, visibility: "hidden" });
  box.root.append(ring);
  box.root.setAttribute("tabindex", "0");
  let row = 0, column = rows[0].length - 1;
  const show = (isSpoken) => {
    const point = rows[row][column], bounds = box.root.getBoundingClientRect(), scale = bounds.width / box.width;
    ring.setAttribute("cx", point.x);
    ring.setAttribute("cy", point.y);
    ring.setAttribute("visibility", "visible");
    emphasise(point.run);
    const lines = point.lines();
    showTip(lines, bounds.left + point.x * scale, bounds.top + point.y * scale);
    if (isSpoken) $("spoken").textContent = lines.join(", ");
  };
  const hide = () => { ring.setAttribute("visibility", "hidden"); emphasise(undefined); hideTip(); };
  // A finger that taps does not move.
  for (const name of ["pointermove", "pointerdown"]) box.root.addEventListener(name, (event) => {
    const bounds = box.root.getBoundingClientRect(), scale = box.width / bounds.width;
    const x = (event.clientX - bounds.left) * scale, y = (event.clientY - bounds.top) * scale;
    let best = 30 ** 2;
    rows.forEach((points, at) => points.forEach((point, place) => {
      const far = (point.x - x) ** 2 + (point.y - y) ** 2;
      if (far < best) [best, row, column] = [far, at, place];
    }));
    if (best < 30 ** 2) show(false); else hide();
  });
  box.root.addEventListener("keydown", (event) => {
    const last = rows[row].length - 1;
    const move = { ArrowLeft: [row, column - 1], ArrowRight: [row, column + 1], ArrowUp: [row - 1, column], ArrowDown: [row + 1, column], Home: [row, 0], End: [row, last] }[event.key];
    if (!move) return;
    event.preventDefault();
    row = Math.max(0, Math.min(rows.length - 1, move[0]));
    column = Math.max(0, Math.min(rows[row].length - 1, move[1]));
    show(true);
  });
  box.root.addEventListener("focus", () => { if (box.root.matches(":focus-visible")) show(true); });
  for (const name of ["pointerleave", "blur"]) box.root.addEventListener(name, hide);
}

"use strict";

const data = JSON.parse(document.getElementById("data").textContent);
const RECENT = 30; // runs in which a change counts as news
const SIGNS = { passed: "✓", failed: "✕", invalid: "!", inconclusive: "?", interrupted: "!" };
const SEVERITY = ["failed", "invalid", "interrupted", "regressed", "inconclusive", "improved", "passed", ""];
const UNITS = [
  ["_samples_per_s", "samples/s"],
  ["_per_s", ""],
  ["_qps", "queries/s"],
  ["_ms", "ms"],
  ["_s", "s"],
  ["_j", "J"],
];

const $ = (id) => document.getElementById(id);

function build(node, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
  node.append(...children);
  return node;
}
const html = (tag, attributes = {}, ...children) => build(document.createElement(tag), attributes, children);
const svg = (tag, attributes = {}, ...children) =>
  build(document.createElementNS("http://www.w3.org/2000/svg", tag), attributes, children);
const titled = (node, words) => (node.append(svg("title", {}, words)), node);

/* Numbers, names and dates as people read them. */

function digits(value) {
  const rounded = Number(value.toPrecision(4));
  return Math.abs(rounded) >= 1e4 && Math.abs(rounded) < 1e9 ? rounded.toFixed(0) : String(rounded);
}

function timeScale(value, unit) {
  if (!value) return [1, ""];
  const seconds = Math.abs(Number(value.toPrecision(4))) * (unit === "ms" ? 1e-3 : 1);
  const [size, name] = [
    [1, "s"],
    [1e-3, "ms"],
    [1e-6, "µs"],
    [1e-9, "ns"],
  ].find(([step]) => seconds >= step) ?? [1, "s"];
  return [(unit === "ms" ? 1e-3 : 1) / size, name];
}

const isTime = (unit) => unit === "ms" || unit === "s";

function quantity(value, unit) {
  if (value === null || Number.isNaN(value)) return "not measured";
  const [factor, name] = isTime(unit) ? timeScale(value, unit) : [1, unit];
  return `${digits(value * factor)} ${name}`.trim();
}

function interval([value, low, high], unit) {
  const absent = (end) => end === null || Number.isNaN(end);
  if (absent(value) || (absent(low) && absent(high))) return "";
  const factor = isTime(unit) ? timeScale(value, unit)[0] : 1;
  return `[${[low, high].map((end) => (absent(end) ? "?" : digits(end * factor))).join(", ")}]`;
}

const sum = (numbers) => numbers.reduce((a, b) => a + b, 0);
const clipped = (words, length) => (words.length > length ? `${words.slice(0, length - 1)}…` : words);
const percent = (ratio) =>
  ratio === null ? "" : `${ratio >= 1 ? "+" : "−"}${Number(Math.abs(100 * (ratio - 1)).toPrecision(3))} %`;
const day = (run) => new Date(data.runs.at[run]).toISOString().slice(0, 10);
const minute = (run) => `${new Date(data.runs.at[run]).toISOString().slice(0, 16).replace("T", " ")} UTC`;
const commit = (run) => data.runs.commit[run].slice(0, 10) || "no commit";
const shortFactor = (name) => name.replace(/^(sw|hw)\./, "");

function nameAndUnit(metric) {
  const [suffix, unit] = UNITS.find(([ending]) => metric.endsWith(ending)) ?? ["", ""];
  const name = unit ? metric.slice(0, -suffix.length) : metric;
  return [name.replaceAll("_", " "), unit];
}

/* Series and benchmarks: what the page works with, made from the data once. */

const functions = new Set(data.benchmarks.map(({ name }) => name.split("[")[0]));
const benchmarks = data.benchmarks.map((benchmark) => ({
  ...benchmark,
  short: shortName(benchmark.name),
  series: [],
}));

/** The parameters of a test, and before them its name where there are several tests. */
function shortName(name) {
  const [, path, parameters] = name.match(/^([^[]*)(?:\[(.*)\])?$/s) ?? [];
  const called = (path ?? name)
    .split("::")
    .at(-1)
    .replace(/^test_/, "");
  return parameters && functions.size === 1 ? parameters : [called, parameters].filter(Boolean).join(" ");
}

const series = data.series.map((raw, index) => {
  const [name, unit] = nameAndUnit(raw.metric);
  const benchmark = benchmarks[raw.benchmark];
  const one = { ...raw, index, benchmark, name, unit };
  one.news = news(one);
  benchmark.series.push(one);
  one.words = [benchmark.name, raw.metric, benchmark.hardware, benchmark.precision, benchmark.device, benchmark.dataset]
    .join(" ")
    .toLowerCase();
  return one;
});

function lastChange(one) {
  return one.changes.findLast((change) => change.confirmed);
}

function news(one) {
  const change = lastChange(one);
  return !change || one.n - change.index > RECENT ? "" : change.worse ? "regressed" : "improved";
}

const statuses = (one) => [one.verdict, one.news].filter(Boolean);
const severity = (one) => Math.min(...[...statuses(one), ""].map((status) => SEVERITY.indexOf(status)));
const isJudged = (one) => one.bound || one.news || !one.benchmark.series.some((other) => other.bound);

const bytes = (base64) => Uint8Array.from(atob(base64), (character) => character.charCodeAt(0)).buffer;
const floats = (base64) => new Float32Array(bytes(base64));
const runLists = new Map();

function runsOf(list) {
  if (!runLists.has(list)) runLists.set(list, new Uint32Array(bytes(data.lists[list])));
  return runLists.get(list);
}

function historyOf(one) {
  const values = floats(one.values);
  const usable = [...values.keys()].filter((i) => Number.isFinite(values[i]) && !(i in one.invalid));
  const [lows, highs] = one.low ? [floats(one.low), floats(one.high)] : [null, null];
  return { runs: runsOf(one.list), values, lows, highs, usable };
}

/** Facts that differ between two runs: `[name, from, to]`; the exemplar of the machine aside unless asked for. */
function differences(from, to, withUnit = false) {
  const [a, b] = [from, to].map((run) => data.environments[data.runs.environment[run]]);
  if (a === b) return [];
  return [...new Set([...Object.keys(a), ...Object.keys(b)])]
    .filter((name) => a[name] !== b[name] && (withUnit || !name.startsWith("unit.")))
    .map((name) => [name, a[name] ?? "none", b[name] ?? "none"]);
}

const differenceText = (list) => list.map(([name, from, to]) => `${shortFactor(name)} ${from} → ${to}`).join(", ");

/* Drawing. A chart is an SVG as large as its place; colours come from the style sheet. */

function scale(low, high, from, to, isLog = false) {
  const at = isLog ? Math.log : (value) => value;
  const [a, b] = [at(low), at(high)];
  return (value) => from + ((to - from) * (at(value) - a)) / (b - a);
}

function ticks(low, high, count) {
  const rough = (high - low) / count;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = power * [1, 2, 5, 10].find((factor) => factor * power >= rough * 0.999);
  const first = Math.ceil(low / step - 1e-9);
  const n = Math.floor(high / step + 1e-9) - first + 1;
  return n < 2 && count < 50 ? ticks(low, high, 2 * count) : Array.from({ length: n }, (_, i) => (first + i) * step);
}

function logTicks(low, high, count) {
  if (high / low < 4) return ticks(low, high, count);
  const decades = ticks(Math.floor(Math.log10(low)), Math.ceil(Math.log10(high)), 100).map(Math.round);
  const steps = high / low > 10 ** count ? [1] : high / low > 60 ? [1, 3] : [1, 2, 5];
  return [...new Set(decades)]
    .flatMap((power) => steps.map((step) => step * 10 ** power))
    .filter((value) => value >= low && value <= high);
}

function canvas(place, label, margins) {
  const { clientWidth: width, clientHeight: height } = place;
  const root = svg("svg", { width, height, role: "img", "aria-label": label });
  place.replaceChildren(root);
  const { left = 44, right = 8, top = 12, bottom = 16 } = margins;
  return { root, left, right: width - right, top, bottom: height - bottom };
}

function text(x, y, content, attributes = {}) {
  return svg("text", { x, y, ...attributes }, content);
}

function valueAxis(area, at, values, unit) {
  for (const value of values) {
    area.root.append(
      svg("path", { class: "grid-line", d: `M${area.left} ${at(value)}H${area.right}` }),
      text(area.left - 6, at(value) + 4, quantity(value, isTime(unit) ? unit : ""), {
        "text-anchor": "end",
      }),
    );
  }
}

function loadAxis(area, at, values, unit) {
  for (const value of values) {
    area.root.append(text(at(value), area.bottom + 14, quantity(value, unit), { "text-anchor": "middle" }));
  }
}

/** The range worth showing: the bulk of the points, the levels, and the bound where it is near. */
function valueRange(one, { values, usable }) {
  const shown = usable.length ? usable : [...values.keys()].filter((i) => Number.isFinite(values[i]));
  const sorted = shown.map((i) => values[i]).sort((a, b) => a - b);
  if (!sorted.length) return [0, 1];
  const quantile = (p) => sorted[Math.round(p * (sorted.length - 1))];
  const levels = one.changes.flatMap(({ before, after }) => [before, after]);
  const known = [quantile(0.005), quantile(0.995), values[shown.at(-1)], ...levels];
  const [low, high] = [Math.min(...known), Math.max(...known)];
  const span = Math.max(high - low, 0.04 * Math.abs(quantile(0.5))) || 1;
  const limit =
    one.bound && one.bound.limit > low - 2 * span && one.bound.limit < high + 2 * span ? [one.bound.limit] : [];
  const middle = (low + high) / 2;
  const bottom = Math.min(middle - 0.65 * span, ...limit.map((value) => value - 0.15 * span));
  const top = Math.max(middle + 0.65 * span, ...limit.map((value) => value + 0.15 * span));
  return [sorted[0] >= 0 ? Math.max(bottom, 0) : bottom, top];
}

function levelsOf(one, { values, usable }) {
  if (!one.changes.length) {
    const sorted = usable.map((i) => values[i]).sort((a, b) => a - b);
    return sorted.length ? [[0, one.n, sorted[sorted.length >> 1]]] : [];
  }
  const starts = [0, ...one.changes.map(({ index }) => index)];
  const heights = [one.changes[0].before, ...one.changes.map(({ after }) => after)];
  return starts.map((start, i) => [start, starts[i + 1] ?? one.n, heights[i]]);
}

function drawHistory(place, one, isLarge = false) {
  const points = historyOf(one);
  const [low, high] = valueRange(one, points);
  const label = `${one.name}: ${one.n} runs, latest ${quantity(one.latest[0], one.unit)}, ${one.changes.length} change points`;
  const area = canvas(place, label, isLarge ? { left: 64, top: 34, bottom: 26 } : { left: 56, right: 10 });
  const step = (area.right - area.left) / Math.max(one.n, 4);
  const x = (position) => area.left + (position + 0.5) * step;
  const free = scale(low, high, area.bottom, area.top);
  const y = (value) => Math.min(Math.max(free(value), area.top - 4), area.bottom + 2);
  valueAxis(area, y, ticks(low, high, isLarge ? 6 : 3), one.unit);
  dateAxis(area, x, one, points.runs, isLarge ? Math.max(2, Math.floor((area.right - area.left) / 110)) : 2);
  area.root.append(...intervals(points, x, y, step), ...dots(points, x, y, one.n, isLarge));
  for (const [start, end, height] of levelsOf(one, points)) {
    area.root.append(svg("path", { class: "level", d: `M${x(start - 0.5)} ${y(height)}H${x(end - 0.5)}` }));
  }
  area.root.append(
    ...invalidMarks(one, points, x, y),
    ...commitMarks(points.runs, x, area),
    ...factorMarks(points.runs, x, area, isLarge),
  );
  area.root.append(...changeMarks(one, x, area, isLarge), ...boundMarks(one, [low, high], y, area));
  const last = points.values.length - 1;
  if (Number.isFinite(points.values[last]) && !(last in one.invalid))
    area.root.append(svg("circle", { class: "last", cx: x(last), cy: y(points.values[last]), r: 4 }));
  return { area, x, y, points, step };
}

function dateAxis(area, x, one, runs, count) {
  const isOneDay = day(runs[0]) === day(runs[one.n - 1]);
  const every = ticks(0, one.n - 1 || 1, count).filter((i) => Number.isInteger(i) && i < one.n);
  for (const position of count === 2 ? new Set([0, one.n - 1]) : every) {
    const anchor = position === 0 ? "start" : position > 0.92 * (one.n - 1) ? "end" : "middle";
    const at = { start: area.left, middle: x(position), end: area.right }[anchor];
    const words = !isOneDay ? day(runs[position]) : position ? minute(runs[position]).slice(11, 16) : minute(runs[0]);
    area.root.append(text(at, area.bottom + 14, words, { "text-anchor": anchor }));
  }
}

/** Bars where there is room, else a band; where runs are denser than that, it would only be noise. */
function intervals({ values, lows, highs, usable }, x, y, step) {
  if (!lows || step < 2) return [];
  const end = (ends, i) => y(Number.isNaN(ends[i]) ? values[i] : ends[i]).toFixed(1);
  if (step > 12)
    return [
      svg("path", {
        class: "interval",
        d: usable.map((i) => `M${x(i)} ${end(lows, i)}V${end(highs, i)}`).join(""),
      }),
    ];
  const side = (ends) => usable.map((i) => `${x(i).toFixed(1)} ${end(ends, i)}`);
  return usable.length
    ? [
        svg("path", {
          class: "band",
          d: `M${[...side(highs), ...side(lows).reverse()].join("L")}Z`,
        }),
      ]
    : [];
}

function dots({ values, usable }, x, y, n, isLarge) {
  const d = usable.map((i) => `M${x(i).toFixed(1)} ${y(values[i]).toFixed(1)}h0`).join("");
  return [
    svg("path", {
      class: "dots",
      d,
      "stroke-width": (isLarge ? 5 : 4) - (n > 100),
      opacity: n > 250 ? 0.4 : n > 60 ? 0.65 : 1,
    }),
  ];
}

function invalidMarks(one, { values }, x, y) {
  const d = Object.keys(one.invalid)
    .filter((i) => Number.isFinite(values[i]))
    .map((i) => `M${x(+i) - 3} ${y(values[i]) - 3}l6 6m0 -6l-6 6`)
    .join("");
  return d ? [svg("path", { class: "invalids", d })] : [];
}

function commitMarks(runs, x, area) {
  const changed = [...runs.keys()].slice(1).filter((i) => data.runs.commit[runs[i]] !== data.runs.commit[runs[i - 1]]);
  const isRoom = changed.length < (area.right - area.left) / 4;
  return isRoom
    ? [
        svg("path", {
          class: "commits",
          d: changed.map((i) => `M${x(i - 0.5)} ${area.bottom}v4`).join(""),
        }),
      ]
    : [];
}

function factorMarks(runs, x, area, isLarge) {
  let free = area.left;
  return factorChanges(runs).map(([position, list]) => {
    const at = x(position - 0.5);
    const mark = svg(
      "g",
      {},
      svg("path", { class: "factor", d: `M${at} ${area.top}V${area.bottom}` }),
      diamond(at, area.bottom),
    );
    const label = differenceText(list);
    const words = clipped(label, 34);
    const start = Math.min(at, area.right - 5.6 * words.length);
    if (isLarge && start >= free) {
      mark.append(text(start, area.top - 22, words, { class: "factor-sign" }));
      free = start + 5.6 * words.length + 12;
    }
    return titled(mark, `${day(runs[position])}: ${label}`);
  });
}

const diamond = (x, y) => svg("path", { class: "factor-sign", d: `M${x} ${y - 4}l4 4l-4 4l-4 -4Z` });

function factorChanges(runs) {
  return [...runs.keys()]
    .slice(1)
    .map((i) => [i, differences(runs[i - 1], runs[i])])
    .filter(([, list]) => list.length);
}

function changeMarks(one, x, area, isLarge) {
  return one.changes.map((change) => {
    const { index, before, after, ratio, confirmed } = change;
    const at = x(index - 0.5);
    const tip = after > before ? `M${at} ${area.top - 9}l5 9h-10Z` : `M${at} ${area.top}l5 -9h-10Z`;
    const mark = svg("g", { class: `${kindOf(change)}${confirmed ? "" : " unconfirmed"}` });
    mark.append(
      svg("path", { class: "change", d: `M${at} ${area.top}V${area.bottom}` }),
      svg("path", { class: "change-sign", d: tip }),
    );
    if (isLarge) mark.append(text(at + 8, area.top - 2, percent(ratio), { class: "change-sign" }));
    return titled(mark, `${changeText(change)}: ${quantity(before, one.unit)} → ${quantity(after, one.unit)}`);
  });
}

function boundMarks(one, [low, high], y, area) {
  if (!one.bound) return [];
  const { limit, text: words } = one.bound;
  if (limit < low || limit > high) {
    const [arrow, at] = limit > high ? ["↑", area.top + 8] : ["↓", area.bottom - 4];
    return [text(area.right, at, `${words} ${arrow}`, { class: "bound-text", "text-anchor": "end" })];
  }
  const below = y(limit) - area.top < 14;
  return [
    svg("path", { class: "bound", d: `M${area.left} ${y(limit)}H${area.right}` }),
    text(area.right, y(limit) + (below ? 13 : -5), words, {
      class: "bound-text",
      "text-anchor": "end",
    }),
  ];
}

const latencyBounds = (benchmark) =>
  benchmark.checks.filter((check) => check.unit === "s" && check.limit !== null && /^(p\d|mean)/.test(check.name));

function drawLatency(place, benchmark) {
  const { growth, first, counts } = benchmark.histogram;
  const edge = (bucket) => growth ** (first + bucket) / 1e6;
  const limits = latencyBounds(benchmark).map((check) => [check.limit * 1e3, `${check.name} ${check.bound}`]);
  const near = limits.filter(([limit]) => limit < 30 * edge(counts.length) && limit > edge(0) / 30);
  const low = Math.min(edge(0), ...near.map(([limit]) => limit / 1.1)) / 1.02;
  const high = Math.max(edge(counts.length), ...near.map(([limit]) => limit * 1.1)) * 1.02;
  const area = canvas(place, `latencies of ${benchmark.short}`, {
    left: 8,
    top: 14 + 13 * Math.max(limits.length - 1, 0),
  });
  const x = scale(low, high, area.left, area.right, true);
  const worst = Math.min(...limits.map(([limit]) => limit));
  area.root.append(...bars(counts, edge, worst, x, area));
  loadAxis(area, x, spaced(logTicks(low, high, 4), x, 52), "ms");
  limits.forEach(([limit, words], i) => area.root.append(...limitMark(area, limit, words, x, [low, high], 9 + 13 * i)));
}

/**
 * Buckets as bars, so many put together that a bar is at least 3 px wide; red from the limit on.
 * Heights are square roots of counts, else the tail that bounds are about would not show.
 */
function bars(counts, edge, limit, x, area) {
  const together = Math.max(1, Math.ceil(3 / (x(edge(1)) - x(edge(0)))));
  const starts = [...counts.keys()].filter((bucket) => bucket % together === 0);
  const heights = new Map(starts.map((start) => [start, sum(counts.slice(start, start + together))]));
  const y = scale(0, Math.sqrt(Math.max(...heights.values())), area.bottom, area.top + 4);
  const bar = (start) => {
    const [left, right] = [start, Math.min(start + together, counts.length)].map((bucket) => x(edge(bucket)));
    const top = Math.min(y(Math.sqrt(heights.get(start))), area.bottom - 1.5);
    return `M${left} ${area.bottom}V${top}H${Math.max(right - 0.5, left + 0.5)}V${area.bottom}Z`;
  };
  const path = (kind, isOfKind) => {
    const d = starts
      .filter((start) => heights.get(start) && isOfKind(start))
      .map(bar)
      .join("");
    return svg("path", { class: kind, d });
  };
  const isOver = (start) => edge(start) >= limit;
  const ground = svg("path", {
    class: "grid-line",
    d: `M${area.left} ${area.bottom}H${area.right}`,
  });
  return [path("bars", (start) => !isOver(start)), path("over", isOver), ground];
}

function limitMark(area, limit, words, x, [low, high], y) {
  if (limit > high) return [text(area.right, y, `${words} →`, { class: "bound-text", "text-anchor": "end" })];
  if (limit < low) return [text(area.left, y, `← ${words}`, { class: "bound-text" })];
  const isRight = x(limit) > (area.left + area.right) / 2;
  return [
    svg("path", { class: "bound", d: `M${x(limit)} ${y - 8}V${area.bottom}` }),
    text(x(limit) + (isRight ? -5 : 5), y, words, {
      class: "bound-text",
      "text-anchor": isRight ? "end" : "start",
    }),
  ];
}

/** Ticks whose labels do not run into each other. */
function spaced(values, at, distance) {
  let last = -Infinity;
  return values.filter((value) => at(value) - last >= distance && ((last = at(value)), true));
}

function drawCurve(place, benchmark) {
  const { curve, bound_ms: bound, unit, latest } = benchmark.peak;
  const probes = curve.filter(([load, latency]) => load > 0 && latency > 0).sort((a, b) => a[0] - b[0]);
  if (!probes.length) return;
  const loads = probes.map(([load]) => load);
  const latencies = [...probes.map(([, latency]) => latency), ...(bound ? [bound] : [])];
  const isLog = Math.max(...loads) / Math.min(...loads) > 6;
  const [low, high] = isLog ? [Math.min(...loads) / 1.1, Math.max(...loads) * 1.1] : [0, Math.max(...loads) * 1.05];
  const area = canvas(place, `latency by load of ${benchmark.short}`, { left: 56 });
  const x = scale(low, high, area.left, area.right, isLog);
  const range = [Math.min(...latencies) / 1.15, Math.max(...latencies) * 1.15];
  const y = scale(...range, area.bottom, area.top, true);
  valueAxis(area, y, logTicks(...range, 3), "ms");
  loadAxis(area, x, spaced((isLog ? logTicks : ticks)(low, high, 5), x, 48), "");
  const line = probes
    .filter(([, , , isReplication]) => !isReplication)
    .map(([load, latency]) => `${x(load)} ${y(latency)}`)
    .join("L");
  area.root.append(svg("path", { class: "curve", opacity: 0.4, d: `M${line}` }));
  if (latest[1] && latest[2]) area.root.append(peakBand(latest, x, area));
  if (bound) {
    area.root.append(
      svg("path", { class: "bound", d: `M${area.left} ${y(bound)}H${area.right}` }),
      text(area.left + 4, y(bound) - 5, `≤ ${quantity(bound, "ms")}`, { class: "bound-text" }),
    );
  }
  area.root.append(...probes.map((probe) => probeMark(probe, x, y, unit)));
}

function peakBand([value, low, high], x, area) {
  const [left, right] = [Math.max(x(low), area.left), Math.min(x(high), area.right)];
  const d = `M${left} ${area.top}H${Math.max(right, left + 2)}V${area.bottom}H${left}Z`;
  const mark = svg("path", { class: "band", d });
  return titled(mark, `peak ${digits(value)} ${interval([value, low, high], "")}`);
}

function probeMark([load, latency, isPassed, isReplication], x, y, unit) {
  const mark = svg("circle", {
    class: isPassed ? "passed-probe" : "failed-probe",
    cx: x(load),
    cy: y(latency),
    r: isReplication ? 4.5 : 3,
  });
  return titled(mark, `${digits(load)} ${unit}: ${quantity(latency, "ms")}, ${isPassed ? "within" : "over"} the bound`);
}

function drawTradeoff(place, group) {
  const points = group.points.filter((point) => isShownBenchmark(point.benchmark));
  if (!points.length) return;
  const ends = (axis) => points.flatMap((point) => point[axis]);
  const [slow, fast] = [Math.min(...ends("speed")) / 1.25, Math.max(...ends("speed")) * 1.6];
  const [poor, rich] = [Math.min(...ends("quality")), Math.max(...ends("quality"))];
  const pad = Math.max(0.1 * (rich - poor), 0.002 * Math.abs(rich)) || 1;
  const area = canvas(place, `${group.quality} against ${group.speed}`, {
    left: 56,
    bottom: 30,
    right: 14,
  });
  const x = scale(slow, fast, area.left, area.right, true);
  const y = scale(poor - pad, rich + pad, area.bottom, area.top);
  valueAxis(area, y, ticks(poor - pad, rich + pad, 5), "");
  loadAxis(area, x, spaced(logTicks(slow, fast, 4), x, 52), "");
  const [pace, unit] = nameAndUnit(group.speed);
  area.root.append(
    text(area.right, area.bottom + 28, `${pace}${unit && ` in ${unit}`} →`, {
      "text-anchor": "end",
    }),
    frontier(points, group, x, y),
  );
  const taken = points.map(({ speed, quality }) => [x(speed[0]) - 5, x(speed[0]) + 5, y(quality[0])]);
  area.root.append(
    ...points.map((point) => tradeoffMark(point, x, y, area)),
    ...points.map((point) => tradeoffLabel(point, x, y, area, taken)),
  );
}

/** The steps between points that no other point beats in both quality and speed. */
function frontier(points, group, x, y) {
  const sign = group.better === "higher" ? 1 : -1;
  const beats = (a, b) => a.speed[0] >= b.speed[0] && sign * a.quality[0] > sign * b.quality[0];
  const best = points.filter((point) => !points.some((other) => beats(other, point)));
  best.sort((a, b) => a.speed[0] - b.speed[0] || sign * (a.quality[0] - b.quality[0]));
  const corner = ({ speed, quality }, i) =>
    i ? `V${y(quality[0])}H${x(speed[0])}` : `M${x(speed[0])} ${y(quality[0])}`;
  return svg("path", { class: "frontier", d: best.map(corner).join("") });
}

function tradeoffMark({ speed, quality, benchmark }, x, y, area) {
  const [cx, cy] = [x(speed[0]), y(quality[0])];
  const ends = ([, ...others], at) => others.map(at);
  const [[left, right], [bottom, top]] = [ends(speed, x), ends(quality, y)];
  const d = `M${left} ${cy}H${right}M${cx} ${Math.min(bottom, area.bottom)}V${Math.max(top, area.top)}`;
  const mark = svg("a", { href: `#open=${benchmark.series[0].index}` });
  mark.append(
    svg("path", { class: "curve", opacity: 0.35, d }),
    svg("circle", { class: "passed-probe", cx, cy, r: 4.5 }),
  );
  return titled(mark, `${benchmark.short}: ${digits(quality[0])} at ${digits(speed[0])}`);
}

/** The label beside its point, or nothing where there is no room. */
function tradeoffLabel({ speed, quality, label }, x, y, area, taken) {
  const [cx, cy] = [x(speed[0]), y(quality[0])];
  const width = 6 * label.length;
  const places = [0, 14, -14].flatMap((shift) => [cx + 8, cx - 8 - width].map((start) => [start, cy + shift]));
  const [start, height] = places.find((place) => isFree(...place, width, area, taken)) ?? [];
  if (start === undefined) return "";
  taken.push([start, start + width, height]);
  return text(start, height - 4, label);
}

function isFree(start, y, width, area, taken) {
  const isClear = ([left, right, height]) => right < start || left > start + width || Math.abs(height - y) > 13;
  return start >= area.left && start + width <= area.right && taken.every(isClear);
}

/* Charts are drawn when they come near the window, and dropped when they leave it. */

const drawings = new WeakMap();
const watcher = new IntersectionObserver(
  (entries) => {
    for (const { target, isIntersecting } of entries) {
      if (isIntersecting) drawings.get(target)(target);
      else target.replaceChildren();
    }
  },
  { rootMargin: "400px" },
);

function plot(draw, className = "plot") {
  const place = html("div", { class: className });
  drawings.set(place, draw);
  watcher.observe(place);
  return place;
}

function redraw(root) {
  for (const place of root.querySelectorAll(".plot")) if (place.firstChild) drawings.get(place)?.(place);
}

/* Cards. */

const signed = (status) => `${SIGNS[status] ?? ""} ${status}`.trim();
const sign = (status) => html("span", { class: `mark ${status}` }, signed(status));

const kindOf = (change) => (change.worse ? "worse" : "better");
const changeText = (change) =>
  `${percent(change.ratio)} ${kindOf(change)}${change.confirmed ? "" : ", unconfirmed"}`.trim();

function newsOf(one) {
  const change = lastChange(one);
  return one.news ? [html("span", { class: `mark ${kindOf(change)}` }, changeText(change))] : [];
}

function card(one, subtitle, verdict, figures, draw) {
  const link = html("a", { href: `#open=${one.index}` }, one.benchmark.short);
  return html(
    "article",
    { class: "card" },
    html("h3", { title: one.benchmark.name }, link),
    html(
      "p",
      { class: "place" },
      html("span", { class: "sub", title: subtitle }, subtitle),
      ...(verdict ? [sign(verdict)] : []),
    ),
    html("p", { class: "figures" }, ...figures),
    plot(draw),
  );
}

const placeOf = (benchmark) => [benchmark.precision, benchmark.hardware].filter(Boolean).join(" · ");

function historyCard(one) {
  const figures = [
    html("strong", {}, `${one.name} ${quantity(one.latest[0], one.unit)}`),
    html("span", { class: "sub" }, interval(one.latest, one.unit)),
    ...newsOf(one),
  ];
  return card(one, placeOf(one.benchmark), one.verdict, figures, (place) => drawHistory(place, one));
}

function latencyCard(benchmark) {
  const { p50, p99 } = benchmark.histogram;
  const judged = benchmark.series.find((one) => one.metric === "p99_ms") ?? benchmark.series[0];
  const figures = [
    html("strong", {}, `p99 ${quantity(p99, "ms")}`),
    html("span", { class: "sub" }, `p50 ${quantity(p50, "ms")}${overText(benchmark)}`),
  ];
  const subtitle = `${benchmark.histogram.n} queries · ${placeOf(benchmark)}`;
  return card(judged, subtitle, benchmark.verdict, figures, (place) => drawLatency(place, benchmark));
}

function overText(benchmark) {
  const { growth, first, counts } = benchmark.histogram;
  return latencyBounds(benchmark)
    .map(({ limit, bound }) => {
      const start = Math.ceil(Math.log(limit * 1e9) / Math.log(growth)) - first;
      const over = sum(counts.slice(Math.max(start, 0))) / benchmark.histogram.n;
      return ` · ${Number((100 * over).toPrecision(2))} % over ${bound.replace(/^≤ /, "")}`;
    })
    .join("");
}

function peakCard(benchmark) {
  const { latest, unit, stopped, curve } = benchmark.peak;
  const one = benchmark.series.find((other) => other.metric.startsWith("peak_")) ?? benchmark.series[0];
  const figures =
    latest[0] !== null
      ? [html("strong", {}, quantity(latest[0], unit)), html("span", { class: "sub" }, interval(latest, unit))]
      : [html("strong", {}, stopped)];
  const subtitle = `latency by ${unit}, ${curve.length} probes · ${placeOf(benchmark)}`;
  return card(one, subtitle, benchmark.verdict, figures, (place) => drawCurve(place, benchmark));
}

function tradeoffGroups() {
  const groups = new Map();
  for (const benchmark of benchmarks.filter((other) => other.tradeoff)) {
    const { quality, speed, better } = benchmark.tradeoff;
    const key = JSON.stringify([benchmark.dataset, quality, speed]);
    if (!groups.has(key)) groups.set(key, { dataset: benchmark.dataset, quality, speed, better, points: [] });
    const [at, pace] = benchmark.tradeoff.at.map(withEnds);
    if (pace[0] > 0)
      groups.get(key).points.push({
        benchmark,
        quality: at,
        speed: pace.map((value) => (value > 0 ? value : pace[0])),
      });
  }
  groups.forEach(labelPoints);
  return [...groups.values()].filter(({ points }) => points.length > 1);
}

/** A figure and the ends of its interval; an open end is where the figure is. */
const withEnds = ([value, low, high]) => [value, low ?? value, high ?? value];

/** Label points with those parts of their names that tell them apart. */
function labelPoints({ points }) {
  const parts = points.map(({ benchmark }) => [
    ...new Set([...benchmark.short.split(/[-\s]+/), benchmark.precision, benchmark.hardware]),
  ]);
  points.forEach((point, i) => {
    const own = parts[i].filter((part) => part && !parts.every((other) => other.includes(part)));
    point.label = clipped(own.join(" ") || point.benchmark.short, 44);
  });
}

function tradeoffCard(group) {
  const title = `${group.quality} on ${group.dataset || "no data set"}`;
  const subtitle = `${group.points.length} benchmarks, ${group.better} is better`;
  const place = plot((target) => drawTradeoff(target, group));
  return html("article", { class: "card" }, html("h3", {}, title), html("p", { class: "sub" }, subtitle), place);
}

/* Filters. */

const cards = []; // { node, isShown(the set of series that pass the filters) }

function isNamed(one) {
  const wanted = $("name").value.toLowerCase().split(/\s+/);
  return wanted.every((word) => one.words.includes(word)) && ["", one.benchmark.hardware].includes($("hardware").value);
}

const hasVerdict = (one, verdict) => verdict === "" || statuses(one).includes(verdict);
const isListed = (one) => isNamed(one) && ($("all").checked || isJudged(one));
const isShownBenchmark = (benchmark) => benchmark.series.some((one) => isNamed(one) && hasVerdict(one, chosenVerdict));
let chosenVerdict = "";

function filter() {
  const listed = series.filter(isListed);
  const shown = new Set(listed.filter((one) => hasVerdict(one, chosenVerdict)));
  for (const { node, isShown } of cards) node.hidden = !isShown(shown);
  for (const row of $("figures").querySelectorAll("tbody tr")) row.hidden = !shown.has(series[row.dataset.series]);
  for (const section of document.querySelectorAll("main > section")) {
    const nodes = section.querySelectorAll(".card");
    if (nodes.length) section.hidden = [...nodes].every((node) => node.hidden);
  }
  redraw($("tradeoff"));
  showVerdicts(listed);
  $("shown").textContent =
    shown.size === series.length ? `${series.length} series` : `${shown.size} of ${series.length} series`;
  remember();
}

function showVerdicts(listed) {
  const counts = SEVERITY.map((verdict) => [verdict, listed.filter((one) => hasVerdict(one, verdict)).length]);
  const shown = [counts.at(-1), ...counts.slice(0, -1)].filter(
    ([verdict, count]) => count || verdict === chosenVerdict,
  );
  const focused = document.activeElement.value;
  $("verdicts").replaceChildren(
    ...shown.map(([verdict, count]) => {
      const pressed = String(verdict === chosenVerdict);
      const label = verdict ? signed(verdict) : "all";
      const button = html(
        "button",
        { type: "button", value: verdict, "aria-pressed": pressed, class: verdict },
        label,
        html("b", {}, String(count)),
      );
      button.addEventListener("click", () => ((chosenVerdict = verdict), filter()));
      return button;
    }),
  );
  if (document.activeElement === document.body && focused !== undefined)
    $("verdicts").querySelector(`[value="${chosenVerdict}"]`).focus();
}

/** The filters stand in the address, so that a view can be linked. */
function remember() {
  const state = new URLSearchParams({
    name: $("name").value,
    hardware: $("hardware").value,
    verdict: chosenVerdict,
    all: $("all").checked ? "1" : "",
  });
  for (const [key, value] of [...state]) if (!value) state.delete(key);
  if (!$("detail").open) history.replaceState(null, "", `#${state}`);
}

function recall() {
  const state = new URLSearchParams(location.hash.slice(1));
  $("name").value = state.get("name") ?? "";
  $("hardware").value = state.get("hardware") ?? "";
  if ($("hardware").selectedIndex < 0) $("hardware").value = "";
  chosenVerdict = SEVERITY.includes(state.get("verdict")) ? state.get("verdict") : "";
  $("all").checked = state.has("all");
}

/* One series in detail. */

function table(headers, rows) {
  const head = headers.map((words) => html("th", { scope: "col" }, words));
  const body = rows.map((row) => html("tr", {}, ...row.map((content) => html("td", {}, content))));
  return html("table", {}, html("thead", {}, html("tr", {}, ...head)), html("tbody", {}, ...body));
}

const scrolling = (content) => html("div", { class: "overflow", tabindex: 0 }, content);

function detail(one) {
  const { benchmark } = one;
  const close = html("button", { type: "button", class: "close" }, "Close");
  close.addEventListener("click", () => $("detail").close());
  const facts = [
    one.name,
    placeOf(benchmark),
    benchmark.dataset && `data set ${benchmark.dataset}`,
    `set-up ${benchmark.setup}`,
  ];
  return [
    html("h2", { id: "detail-title" }, benchmark.short),
    close,
    html("p", { class: "sub" }, benchmark.name),
    html("p", { class: "sub" }, facts.filter(Boolean).join(" · ")),
    siblings(one),
    ...explorer(one),
    ...changeTable(one),
    html("div", { class: "columns" }, ...lastRun(benchmark)),
    ...checkTable(benchmark),
  ];
}

function siblings(one) {
  const link = (other) =>
    html(
      "a",
      { href: `#open=${other.index}`, ...(other === one && { "aria-current": "true" }) },
      `${other.name} ${SIGNS[other.verdict] ?? ""}`.trim(),
    );
  return html(
    "ul",
    { class: "siblings", "aria-label": "Figures of this benchmark" },
    ...one.benchmark.series.map((other) => html("li", {}, link(other))),
  );
}

/** The large chart: the pointer or the arrow keys walk through the runs, and the line below reads them out. */
function explorer(one) {
  const place = html("div", {
    class: "plot",
    tabindex: 0,
    role: "slider",
    "aria-label": `Runs of ${one.name}`,
    "aria-valuemin": 1,
    "aria-valuemax": one.n,
  });
  const readout = html("p", { class: "readout" });
  let chart;
  let position = one.n - 1;
  const move = (to) => {
    position = Math.min(Math.max(to, 0), one.n - 1);
    readout.textContent = describe(one, chart.points, position);
    build(place, { "aria-valuenow": position + 1, "aria-valuetext": readout.textContent }, []);
    chart.cursor.setAttribute("d", `M${chart.x(position)} ${chart.area.top}V${chart.area.bottom}`);
  };
  const draw = () => {
    chart = drawHistory(place, one, true);
    chart.cursor = svg("path", { class: "cursor" });
    chart.area.root.append(chart.cursor);
    move(position);
  };
  drawings.set(place, draw);
  watcher.observe(place);
  const steps = {
    ArrowLeft: -1,
    ArrowRight: 1,
    ArrowDown: -1,
    ArrowUp: 1,
    PageDown: -10,
    PageUp: 10,
    Home: -Infinity,
    End: Infinity,
  };
  place.addEventListener("keydown", (event) => {
    if (event.key in steps) (move(position + steps[event.key]), event.preventDefault());
  });
  const follow = (event) =>
    move(Math.round((event.clientX - place.getBoundingClientRect().left - chart.area.left) / chart.step - 0.5));
  place.addEventListener("pointermove", follow);
  place.addEventListener("pointerdown", follow);
  return [place, readout];
}

function describe(one, { runs, values, lows, highs }, i) {
  const run = runs[i];
  const latest = [values[i], lows ? lows[i] : null, highs ? highs[i] : null];
  const changed = i ? differences(runs[i - 1], run, true) : [];
  return [
    `${i + 1} of ${one.n}: ${quantity(latest[0], one.unit)} ${interval(latest, one.unit)}`.trim(),
    minute(run),
    [commit(run), data.runs.branch[run], data.runs.dirty[run] ? "with uncommitted changes" : ""]
      .filter(Boolean)
      .join(" "),
    i in one.invalid ? `not usable as a baseline: ${one.invalid[i]}` : "",
    changed.length ? `changed: ${differenceText(changed)}` : "",
  ]
    .filter(Boolean)
    .join(" · ");
}

function changeTable(one) {
  if (!one.changes.length) return [];
  const runs = runsOf(one.list);
  const rows = one.changes.map((change) => {
    const { index, before, after, interval: range } = change;
    const [from, to] = [runs[index - 1], runs[index]];
    const size = range ? ` [${range.map(percent).join(", ")}]` : "";
    const levels = `${quantity(before, one.unit)} → ${quantity(after, one.unit)}`;
    const words = html("span", { class: `mark ${kindOf(change)}` }, changeText(change));
    const isSameCode = data.runs.commit[from] === data.runs.commit[to] && !data.runs.dirty[to];
    const facts = differenceText(differences(from, to, true)) || (isSameCode ? "nothing on record" : "only the code");
    return [day(to), html("span", {}, words, size), levels, `${commit(from)} → ${commit(to)}`, facts];
  });
  const headers = ["since", "change", "level", "commit", "what else changed"];
  return [html("h3", {}, "Change points"), scrolling(table(headers, rows.reverse()))];
}

function lastRun(benchmark) {
  const part = (title, draw) =>
    html(
      "div",
      {},
      html("h3", {}, title),
      plot((place) => draw(place, benchmark), "small plot"),
    );
  return [
    ...(benchmark.histogram ? [part(`Latency in the last run, ${benchmark.histogram.n} queries`, drawLatency)] : []),
    ...(benchmark.peak ? [part(`Latency by ${benchmark.peak.unit}`, drawCurve)] : []),
  ];
}

function checkTable(benchmark) {
  if (!benchmark.checks.length && !benchmark.violations.length) return [];
  const rows = benchmark.checks.map((check) => [
    check.name,
    quantity(check.value, check.unit),
    interval([check.value, check.low, check.high], check.unit),
    check.bound,
    html("span", { class: `mark ${check.verdict}` }, check.verdict),
    check.reason,
  ]);
  const broken = benchmark.violations.map((words) => html("p", { class: "invalid" }, `invalid: ${words}`));
  const headers = ["check", "value", "interval", "bound", "verdict", ""];
  return [
    html("h3", {}, "Checks of the last run"),
    ...broken,
    ...(rows.length ? [scrolling(table(headers, rows))] : []),
  ];
}

function showDetail() {
  const one = series[new URLSearchParams(location.hash.slice(1)).get("open") ?? -1];
  if (!one) return $("detail").open && $("detail").close();
  $("detail").replaceChildren(...detail(one));
  if (!$("detail").open) $("detail").showModal();
  $("detail").scrollTop = 0;
  return $("detail").querySelector("[aria-current]").focus();
}

/* Environment. */

function environments() {
  return [...new Set(benchmarks.map((benchmark) => benchmark.hardware))].map((hardware) => {
    const lists = [...new Set(series.filter((one) => one.benchmark.hardware === hardware).map((one) => one.list))];
    const runs = [...new Set(lists.flatMap((list) => [...runsOf(list)]))].sort((a, b) => a - b);
    const last = runs.at(-1);
    const facts = data.environments[data.runs.environment[last]];
    const rows = Object.entries(facts).map(([name, value]) => [name, value, formerFact(name, runs)]);
    const summary = html(
      "summary",
      {},
      html("h3", {}, hardware),
      ` ${runs.length} runs, last ${minute(last)}, ${commit(last)}`,
    );
    return html("details", { class: "facts" }, summary, table(["fact", "in the last run", "before"], rows));
  });
}

function formerFact(name, runs) {
  const value = (run) => data.environments[data.runs.environment[run]][name] ?? "none";
  const now = value(runs.at(-1));
  const position = runs.findLastIndex((run) => value(run) !== now);
  return position < 0 ? "" : `${value(runs[position])} until ${day(runs[position])}`;
}

/* Start. */

const LEGEND = [
  [[["dots", "M4 6h0M9 9h0M15 5h0M20 7h0", 4]], "run"],
  [[["level", "M1 7H23"]], "level"],
  [[["band", "M1 2H23V12H1Z"]], "interval"],
  [[["bound", "M1 7H23"]], "bound"],
  [[["change-sign worse", "M12 1l5 9h-10Z"]], "became worse"],
  [[["change-sign better", "M12 10l5 -9h-10Z"]], "became better"],
  [
    [
      ["factor", "M12 0V14"],
      ["factor-sign", "M12 7l4 4l-4 4l-4 -4Z"],
    ],
    "driver, library or machine changed",
  ],
  [[["commits", "M9 4v6M15 4v6"]], "new commit"],
  [[["invalids", "M8 3l7 7m0 -7l-7 7"]], "invalid run"],
];

function legend() {
  return LEGEND.map(([paths, words]) => {
    const sample = svg("svg", { width: 24, height: 14, "aria-hidden": "true" });
    for (const [kind, d, width] of paths)
      sample.append(svg("path", { class: kind, d, ...(width && { "stroke-width": width }) }));
    return html("span", {}, sample, words);
  });
}

function fill(id, items, makeCard, isShown) {
  const nodes = items.map(makeCard);
  nodes.forEach((node, i) => cards.push({ node, isShown: (shown) => isShown(items[i], shown) }));
  $(id)
    .querySelector(".grid")
    .replaceChildren(...nodes);
  $(id).hidden = !nodes.length;
}

function showPage() {
  const names = [...new Set(benchmarks.map((benchmark) => benchmark.hardware))].sort();
  $("hardware").replaceChildren(
    html("option", { value: "" }, "all hardware"),
    ...names.map((name) => html("option", { value: name }, name)),
  );
  $("hardware").hidden = names.length < 2;
  recall();
  $("unjudged").hidden = series.every(isJudged);
  $("figures").open = !series.length;
  $("legend").replaceChildren(...legend());
  const ofShown = (benchmark, shown) => benchmark.series.some((one) => shown.has(one));
  fill(
    "history",
    [...series].sort((a, b) => severity(a) - severity(b) || a.index - b.index),
    historyCard,
    (one, shown) => shown.has(one),
  );
  fill(
    "latency",
    benchmarks.filter((benchmark) => benchmark.histogram),
    latencyCard,
    ofShown,
  );
  fill(
    "peaks",
    benchmarks.filter((benchmark) => benchmark.peak),
    peakCard,
    ofShown,
  );
  fill("tradeoff", tradeoffGroups(), tradeoffCard, (group) =>
    group.points.some(({ benchmark }) => isShownBenchmark(benchmark)),
  );
  $("environment").append(...environments());
  $("environment").hidden = !series.length;
  $("filters").hidden = !series.length;
  showDetail();
  filter();
  listen();
}

function listen() {
  $("filters").addEventListener("submit", (event) => event.preventDefault());
  $("filters").addEventListener("input", filter);
  $("detail").addEventListener("close", remember);
  $("detail").addEventListener("click", (event) => event.target === $("detail") && $("detail").close());
  addEventListener("hashchange", showDetail);
  addEventListener("resize", () => redraw(document));
  addEventListener("beforeprint", () =>
    document.querySelectorAll("main .plot").forEach((place) => drawings.get(place)(place)),
  );
  addEventListener("keydown", (event) => {
    const isTyping = event.target.matches("input, select");
    if (event.key !== "/" || isTyping || event.ctrlKey || event.metaKey || $("detail").open) return;
    event.preventDefault();
    $("name").focus();
  });
}

showPage();

// Charts over time, drawn by uPlot, which is loaded when the first one is shown.
//
// The law: a chart never is the only place of a number. Its summary is text, read by everybody; the canvas is hidden from
// screen readers.

import { absolute, clock } from "../format.js";
import { html, useEffect, useRef, useState } from "../lib.js";
import { short } from "../numbers.js";
import { whenColoursChange } from "../preferences.js";

let loading = null;

function load() {
  loading ??= new Promise((resolve, reject) => {
    const script = document.createElement("script");
    script.src = new URL("../../vendor/uPlot.iife.min.js", import.meta.url).href;
    script.onload = () => resolve(globalThis.uPlot);
    script.onerror = () => reject(new Error("the charts could not be loaded"));
    document.head.append(script);
  });
  return loading;
}

// A canvas knows no custom properties: ask a probe what colour a class has.
function colour(element, name) {
  const probe = document.createElement("span");
  probe.className = `probe-${name}`;
  element.append(probe);
  const { color } = getComputedStyle(probe);
  probe.remove();
  return color;
}

// Marks less than a minute apart need their seconds.
function isBrief(marks) {
  return marks.length > 1 && marks[1] - marks[0] < 60;
}

function options(uPlot, element, { series, height, unit, bars }) {
  const faint = colour(element, "line");
  const muted = colour(element, "muted");
  const axis = { stroke: muted, font: "11px system-ui, sans-serif", ticks: { show: false } };
  return {
    width: Math.max(120, element.clientWidth),
    height,
    padding: [8, 4, 0, 0],
    legend: { show: false },
    cursor: { y: false, drag: { setScale: false, x: false, y: false }, points: { size: 6 } },
    scales: { x: { time: true }, y: { range: (chart, low, high) => [0, Math.max(1, high * 1.1 || 1)] } },
    axes: [
      { ...axis, size: 24, grid: { show: false }, space: 60, values: (chart, marks) => marks.map((mark) => clock(mark * 1000, isBrief(marks))) },
      { ...axis, size: 44, grid: { stroke: faint, width: 1 }, space: 28, values: (chart, marks) => marks.map((mark) => (Number.isInteger(mark) ? short(mark) : mark < 10 ? mark.toFixed(1) : "")) },
    ],
    series: [
      {},
      ...series.map((each) => ({
        label: each.label,
        stroke: colour(element, each.tone),
        width: bars ? 0 : 1.5,
        fill: bars ? colour(element, each.tone) : `${fade(colour(element, each.tone))}`,
        points: { show: false },
        ...(bars && { paths: uPlot.paths.bars({ size: [0.8, 24], gap: 1 }) }),
      })),
    ],
    unit,
  };
}

function fade(color) {
  const numbers = color.match(/[\d.]+/g);
  return numbers && color.startsWith("rgb(") ? `rgba(${numbers.slice(0, 3).join(",")},0.12)` : "transparent";
}

// Bars that stand on each other: each series holds what is below it, too, and the highest is drawn first.
function stacked(data) {
  const [x, ...rest] = data;
  let sum = x.map(() => 0);
  const sums = rest.map((values) => (sum = sum.map((below, i) => below + Number(values[i] ?? 0))));
  return [x, ...sums.reverse()];
}

/**
 * A chart over time.
 * @param {object} props
 * @param {string} props.label what it shows
 * @param {number[]} props.times seconds since 1970
 * @param {{label: string, tone: string, values: any[]}[]} props.series tone: a class `probe-…` in css/parts.css
 * @param {string} props.summary the same in a sentence
 * @param {boolean} [props.bars] bars that stand on each other instead of lines
 * @param {(value: number) => string} [props.write] how a value is written under the pointer
 */
export function Chart({ label, times, series, summary, height = 140, bars = false, write = short }) {
  const place = useRef(null);
  const chart = useRef(null);
  const [point, setPoint] = useState(null);
  const [failed, setFailed] = useState(false);
  const data = useRef(null);
  const plain = [times, ...series.map((each) => each.values.map((value) => (value === null ? null : Number(value))))];
  data.current = bars ? stacked(plain) : plain;

  useEffect(() => {
    let gone = false;
    let ends = [];
    const draw = (uPlot) => {
      if (gone || !place.current) return;
      chart.current?.destroy();
      const drawn = bars ? [...series].reverse() : series;
      const wanted = options(uPlot, place.current, { series: drawn, height, bars });
      wanted.hooks = { setCursor: [(self) => setPoint(self.cursor.idx ?? null)] };
      chart.current = new uPlot(wanted, data.current, place.current);
    };
    load().then(
      (uPlot) => {
        if (gone) return;
        draw(uPlot);
        const observer = new ResizeObserver(([entry]) => {
          const width = Math.floor(entry.contentRect.width);
          if (chart.current && width > 0 && width !== chart.current.width) chart.current.setSize({ width, height });
        });
        observer.observe(place.current);
        ends = [() => observer.disconnect(), whenColoursChange(() => draw(uPlot))];
      },
      () => setFailed(true),
    );
    return () => {
      gone = true;
      for (const end of ends) end();
      chart.current?.destroy();
      chart.current = null;
    };
  }, [series.length, bars, height]);

  useEffect(() => {
    chart.current?.setData(data.current);
  });

  const at = point !== null && times[point] !== undefined ? point : times.length - 1;
  return html`<figure class="chart">
    <figcaption>
      <span class="chart-label">${label}</span>
      <span class="chart-legend">
        ${series.map((each) => html`<span key=${each.label} class=${`key key-${each.tone}`}>${each.label} <b class="num">${at >= 0 ? write(each.values[at]) : "–"}</b></span>`)}
        ${at >= 0 && html`<span class="quiet" title=${absolute(times[at] * 1000)}>${clock(times[at] * 1000, false)}</span>`}
      </span>
    </figcaption>
    <div class="plot" data-height=${height} ref=${place} aria-hidden="true"></div>
    <p class="sr">${summary}</p>
    ${failed && html`<p class="quiet">${summary}</p>`}
  </figure>`;
}

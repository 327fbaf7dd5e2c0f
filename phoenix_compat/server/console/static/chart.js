// A small chart of the last hour, drawn by uPlot.
import {html, useEffect, useRef} from "./vendor/htm-preact.js"

const HEIGHT = 110
const color = name => getComputedStyle(document.documentElement).getPropertyValue(name).trim()

// series: [{name, values, color}]: one value a minute, the last one now; null is a gap. bars: whether to draw bars.
// format: makes the text of a value. The table of the same values is for screen readers.
export function Chart({title, series, bars = false, format = String}) {
  const box = useRef(null)
  const chart = useRef(null)
  const count = series[0].values.length
  const now = Math.floor(Date.now() / 60000) * 60
  const data = [Array.from({length: count}, (_, index) => now - (count - 1 - index) * 60), ...series.map(each => each.values)]
  const latest = useRef(data)
  latest.current = data
  useEffect(() => {
    const draw = () => {
      chart.current?.destroy()
      const {uPlot} = window
      const axis = {stroke: color("--muted"), grid: {show: false}, ticks: {show: false}, font: "11px system-ui, sans-serif"}
      chart.current = new uPlot({
        width: box.current.clientWidth, height: HEIGHT, padding: [6, 18, 0, 0],
        cursor: {y: false, points: {show: false}, drag: {x: false, y: false}},
        legend: {show: false},
        scales: {y: {range: (_, __, max) => [0, Math.max(max || 0, 1) * 1.1]}},
        axes: [
          {...axis, size: 22, space: 70, values: (_, times) => times.map(time => new Date(time * 1000).toLocaleTimeString([], {hour: "2-digit", minute: "2-digit", hourCycle: "h23"}))},
          {...axis, size: 50, space: 34, grid: {stroke: color("--line"), width: 1}, values: (_, values) => values.map(format)},
        ],
        series: [{}, ...series.map(each => ({
          stroke: color(each.color), width: bars ? 0 : 1.75, fill: bars ? color(each.color) : undefined,
          points: {show: !bars && each.values.filter(value => value != null).length < 4, size: 5, fill: color(each.color)}, spanGaps: false,
          ...(bars && {paths: uPlot.paths.bars({size: [.7, 12], gap: 0})}),
        }))],
      }, latest.current, box.current)
    }
    draw()
    const sized = new ResizeObserver(() => chart.current?.setSize({width: box.current.clientWidth, height: HEIGHT}))
    sized.observe(box.current)
    addEventListener("themechange", draw)
    return () => { sized.disconnect(); removeEventListener("themechange", draw); chart.current?.destroy(); chart.current = null }
  }, [])
  const text = JSON.stringify(data)
  useEffect(() => { chart.current?.setData(latest.current) }, [text])
  const last = series.map(each => `${each.name} ${format(each.values.at(-1) ?? 0)}`).join(", ")
  return html`
    <figure class="chart panel" role="img" aria-label=${`${title}, the last hour. Now: ${last}`}>
      <figcaption>${title}${series.length > 1 && html`<span class="legend">${series.map(each => html`<span class=${`of${each.color}`}>${each.name}</span>`)}</span>`}</figcaption>
      <div ref=${box} aria-hidden="true"></div>
    </figure>`
}

// The curves over the steps. They are drawn once; after that only the cursor and the dots move.

const SVG = 'http://www.w3.org/2000/svg';

function draw(parent, name, attributes, text) {
  const element = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  if (text !== undefined) element.textContent = text;
  return parent.appendChild(element);
}

function write(parent, name, text, kind) {
  const element = document.createElement(name);
  if (text !== undefined) element.textContent = text;
  if (kind) element.className = kind;
  return parent.appendChild(element);
}

// Snapshots are dense at the beginning, where the boundary moves most. A few steps after the first one are not.
const isLinear = (steps) => steps[0] > 0 && steps[steps.length - 1] <= 20 * steps[0];
const abscissa = (step, steps) => (isLinear(steps) ? step : Math.log10(1 + step));

// The width of the name of a phase, in pixels.
const LABEL = 46;

class Chart {
  constructor(parent, chart, data, seek) {
    this.chart = chart;
    this.data = data;
    const figure = write(parent, 'div', undefined, 'chart');
    write(figure, 'h2', chart.title);
    const legend = write(figure, 'p');
    chart.curves.forEach((curve, k) => this.key(legend, curve.name, `curve k${k}`));
    if (chart.curves.some((curve) => curve.baseline)) this.key(legend, 'comparison', 'baseline');
    if (chart.curves.some((curve) => curve.interval)) this.key(legend, '95 % interval', 'area');
    if (chart.unit) write(legend, 'span', `in ${chart.unit}`);
    if (!isLinear(data.steps)) write(legend, 'span', 'log step axis');
    this.svg = draw(figure, 'svg', { role: 'img', 'aria-label': chart.title });
    const go = (event) => seek(this.timeAt(event.clientX - this.svg.getBoundingClientRect().left));
    this.svg.addEventListener('pointerdown', (event) => { this.svg.setPointerCapture(event.pointerId); go(event); });
    this.svg.addEventListener('pointermove', (event) => { if (event.buttons) go(event); });
    new ResizeObserver(() => { this.layout(); this.show(this.time); }).observe(this.svg);
    this.time = 0;
    this.layout();
  }

  key(parent, text, kind) {
    const span = write(parent, 'span'), sample = draw(span, 'svg', { viewBox: '0 0 22 10' });
    draw(sample, 'path', { d: 'M0 5H22', class: kind });
    span.append(text);
  }

  /** Draws everything for the current size of the chart. */
  layout() {
    const { width, height } = this.svg.getBoundingClientRect();
    this.svg.replaceChildren();
    this.box = { left: 38, right: Math.max(width - 8, 60), top: 8, bottom: Math.max(height - 16, 40) };
    this.span = this.limits();
    this.axes();
    this.chart.curves.forEach((curve, k) => {
      if (curve.interval) draw(this.svg, 'path', { d: this.area(...curve.interval), class: `area k${k}` });
      draw(this.svg, 'path', { d: this.path(curve.values), class: `curve k${k}` });
      if (curve.baseline) draw(this.svg, 'path', { d: this.path(curve.baseline), class: `baseline k${k}` });
    });
    this.cursor = draw(this.svg, 'line', { class: 'cursor', y1: this.box.top, y2: this.box.bottom });
    this.dotIndex = null;
    this.dots = this.chart.curves.map((_, k) => draw(this.svg, 'circle', { r: 3.6, class: `dot k${k}` }));
  }

  limits() {
    if (this.chart.limits) return this.chart.limits;
    const all = this.chart.curves.flatMap((curve) => [...curve.values, ...(curve.baseline || [])]).filter((v) => v !== null);
    const low = Math.min(0, ...all), high = Math.max(...all, low + 1e-9);
    return [1.08 * low, 1.08 * high];
  }

  x(step) {
    const { steps } = this.data, first = abscissa(steps[0], steps), last = abscissa(steps[steps.length - 1], steps);
    return this.box.left + (this.box.right - this.box.left) * (abscissa(step, steps) - first) / Math.max(last - first, 1e-9);
  }

  y(value) {
    return this.box.bottom - (this.box.bottom - this.box.top) * (value - this.span[0]) / (this.span[1] - this.span[0]);
  }

  path(values) {
    let command = 'M';
    return values.map((value, i) => {
      if (value === null) { command = 'M'; return ''; }
      const segment = `${command}${this.x(this.data.steps[i]).toFixed(1)} ${this.y(value).toFixed(1)}`;
      command = 'L';
      return segment;
    }).join('');
  }

  /** Returns the outline of the area between two curves, over the steps at which both ends are known. */
  area(low, high) {
    const at = this.data.steps.map((_, i) => i).filter((i) => low[i] !== null && high[i] !== null);
    const inside = (value) => Math.min(Math.max(this.y(value), this.box.top), this.box.bottom).toFixed(1);
    const point = (values) => (i) => `${this.x(this.data.steps[i]).toFixed(1)} ${inside(values[i])}`;
    return at.length ? `M${[...at.map(point(low)), ...at.reverse().map(point(high))].join('L')}Z` : '';
  }

  axes() {
    const { left, right, top, bottom } = this.box, { steps } = this.data, last = steps[steps.length - 1];
    draw(this.svg, 'path', { d: `M${left} ${top}V${bottom}H${right}`, class: 'axis', fill: 'none' });
    const rough = (this.span[1] - this.span[0]) / 4, power = 10 ** Math.floor(Math.log10(rough));
    const tick = power * [1, 2, 5, 10].find((factor) => factor * power >= rough);
    const digits = Math.max(0, -Math.floor(Math.log10(tick) + 1e-9));
    for (let v = Math.ceil(this.span[0] / tick) * tick; v <= this.span[1] + 1e-12; v += tick) {
      draw(this.svg, 'path', { d: `M${left - 3} ${this.y(v)}H${left}`, class: 'axis' });
      draw(this.svg, 'text', { x: left - 5, y: this.y(v) + 3.5, 'text-anchor': 'end' }, v.toFixed(digits));
    }
    draw(this.svg, 'text', { x: left - 12, y: bottom + 13, 'text-anchor': 'end' }, 'step');
    const powers = [0, 1, 10, 100, 1e3, 1e4, 1e5, 1e6, 1e7].filter((step) => step >= steps[0] && step <= last);
    for (const step of powers.length > 1 && !isLinear(steps) ? powers : new Set([steps[0], steps[steps.length >> 1], last])) {
      const anchor = this.x(step) > right - 24 ? 'end' : 'middle';
      draw(this.svg, 'text', { x: this.x(step), y: bottom + 13, 'text-anchor': anchor }, step.toLocaleString('en'));
    }
    let before = -Infinity;
    for (const phase of [...this.data.phases].sort((a, b) => a.step - b.step)) {
      const x = this.x(phase.step), crowded = x - before < 52;
      draw(this.svg, 'path', { d: `M${x} ${top}V${bottom}`, class: 'phase' });
      const [start, anchor] = crowded ? [x + 3, 'start'] : [x - 3, 'end'], left = crowded ? x : x - LABEL;
      draw(this.svg, 'text', { x: start, 'text-anchor': anchor, y: this.labelHeight(left, left + LABEL) }, phase.name);
      before = x;
    }
  }

  /** Returns a height for a label between two positions: top or bottom, where fewer curves pass. */
  labelHeight(left, right) {
    const { top, bottom } = this.box, inside = this.data.steps.map((step, i) => [this.x(step), i]).filter(([x]) => x >= left && x <= right);
    const lines = this.chart.curves.flatMap((curve) => [curve.values, curve.baseline || []]);
    const heights = inside.flatMap(([, i]) => lines.map((line) => line[i] ?? null)).filter((v) => v !== null).map((v) => this.y(v));
    const passing = (from, to) => heights.filter((y) => y > from && y < to).length;
    return passing(top - 6, top + 16) > passing(bottom - 20, bottom + 6) ? bottom - 5 : top + 9;
  }

  stepAt(time) {
    const { steps } = this.data, first = Math.floor(time), last = Math.min(first + 1, steps.length - 1);
    return steps[first] + (time - first) * (steps[last] - steps[first]);
  }

  timeAt(pixel) {
    const { steps } = this.data, { left, right } = this.box;
    const fraction = Math.min(Math.max((pixel - left) / (right - left), 0), 1);
    const first = abscissa(steps[0], steps), last = abscissa(steps[steps.length - 1], steps);
    const position = first + fraction * (last - first), step = isLinear(steps) ? position : 10 ** position - 1;
    const after = steps.findIndex((s) => s >= step - 1e-9);
    if (after <= 0) return Math.max(after, 0);
    return after - (steps[after] - step) / (steps[after] - steps[after - 1]);
  }

  show(time) {
    this.time = time;
    const x = this.x(this.stepAt(time)), at = Math.round(time);
    this.cursor.setAttribute('x1', x);
    this.cursor.setAttribute('x2', x);
    if (this.dotIndex === at) return;
    this.dotIndex = at;
    this.dots.forEach((dot, k) => {
      const value = this.chart.curves[k].values[at];
      dot.setAttribute('visibility', value === null ? 'hidden' : 'visible');
      if (value === null) return;
      dot.setAttribute('cx', this.x(this.data.steps[at]));
      dot.setAttribute('cy', this.y(value));
    });
  }
}

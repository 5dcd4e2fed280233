/* plot.js - small plots of the last minutes, drawn on canvas. All of them share one time axis and one
 * cross-hair: pointing at one shows the values of that second in all. SPDX-License-Identifier: Apache-2.0 */
'use strict';

const timeline = {
  minutes: 5,
  end: 0, /* newest sample */
  hover: null, /* 0 .. 1 along the axis */
  plots: new Set(),
  frame: 0,
  draw() {
    if (this.frame === 0) {
      this.frame = requestAnimationFrame(() => {
        this.frame = 0;
        this.plots.forEach((plot) => plot.draw());
        this.onDraw();
      });
    }
  },
  onDraw() {},
};

/* The smallest of 1, 2, 5 times a power of `base` that is not below the value. */
function niceAbove(value, base) {
  const power = Math.pow(base, Math.floor(Math.log(value) / Math.log(base)));
  const steps = base === 10 ? [1, 2, 5, 10] : [1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024];
  return power * steps.find((step) => step * power >= value * 0.9999);
}

function cssColour(name) {
  return getComputedStyle(document.documentElement).getPropertyValue(name).trim();
}

let colours = {};
function readColours() {
  colours = {};
  for (const name of ['c1', 'c2', 'c3', 'c4', 'c5', 'line', 'faint', 'edge', 'ink', 'sheet', 'bad']) {
    colours[name] = cssColour('--' + name);
  }
}

/* spec: {title, series: [{name, label, colour, area, band: name of its lower bound, dashed}], parts(value),
 *        log, floor, top, base, least} */
class Plot {
  constructor(spec) {
    this.spec = spec;
    this.canvas = h('canvas', {role: 'img', 'aria-label': spec.title});
    this.values = spec.series.map((series, i) => {
      const text = h('span');
      const unit = h('span', {class: 'unit'});
      const key = h('span', {class: 'key ' + 'k' + series.colour.slice(1)}, series.label);
      const el = i === 0
        ? h('span', {class: 'plot-value first'}, h('span', null, text, unit), key)
        : h('span', {class: 'plot-value'}, key, h('span', null, text, unit));
      return {el, text, unit};
    });
    if (spec.series.length === 1) {
      this.values[0].el.lastChild.remove(); /* the title says it */
    }
    this.el = h('section', {class: 'sheet plot'},
      h('div', {class: 'plot-title'}, spec.title),
      h('div', {class: 'plot-values'}, this.values.map((v) => v.el)),
      this.canvas);
    this.scaleTop = 0;
    this.canvas.addEventListener('pointermove', (event) => this.point(event));
    this.canvas.addEventListener('pointerdown', (event) => this.point(event));
    this.canvas.addEventListener('pointerleave', () => {
      timeline.hover = null;
      timeline.draw();
    });
    new ResizeObserver(() => timeline.draw()).observe(this.canvas);
  }

  point(event) {
    const box = this.canvas.getBoundingClientRect();
    timeline.hover = Math.max(0, Math.min(1, (event.clientX - box.left) / box.width));
    timeline.draw();
  }

  /* Indices of the samples that the axis shows. */
  range() {
    const t = store.history.t;
    const start = timeline.end - timeline.minutes * 60000;
    let first = t.length;
    while (first > 0 && t[first - 1] >= start - 1500) {
      first--;
    }
    return [first, t.length, start];
  }

  /* The scale keeps still: it grows at once and shrinks only when half of it is empty. */
  limits(first, last) {
    const spec = this.spec;
    let high = 0;
    let low = Infinity;
    for (const series of spec.series) {
      const column = store.history[series.name] || [];
      for (let i = first; i < last; i++) {
        const value = column[i];
        if (value !== null && value !== undefined && !series.noScale) {
          high = Math.max(high, value);
          low = Math.min(low, value);
        }
      }
    }
    if (spec.log) {
      return this.logLimits(low, high);
    }
    if (spec.floor) {
      const bottom = spec.floor(Number.isFinite(low) ? low : spec.top);
      return [bottom, spec.top];
    }
    const want = Math.max(high * 1.05, spec.least || 1);
    const base = spec.base || 10;
    if (want > this.scaleTop || want < this.scaleTop * 0.4) {
      this.scaleTop = niceAbove(want, base);
    }
    return [0, spec.top ? Math.max(spec.top(), this.scaleTop) : this.scaleTop];
  }

  logLimits(low, high) {
    const bottom = Number.isFinite(low) ? Math.pow(10, Math.floor(Math.log10(Math.max(low, 1000)))) : 1e4;
    const top = high > 0 ? Math.pow(10, Math.ceil(Math.log10(high * 1.02))) : 1e7;
    return [bottom, Math.max(top, bottom * 10)];
  }

  at(value, [low, high]) {
    const share = this.spec.log ? Math.log(Math.max(value, low) / low) / Math.log(high / low) : (value - low) / (high - low);
    return this.bottom - Math.max(0, Math.min(1.02, share)) * (this.bottom - this.topEdge);
  }

  draw() {
    const box = this.canvas.getBoundingClientRect();
    if (box.width === 0) {
      return;
    }
    const ratio = window.devicePixelRatio || 1;
    const width = Math.round(box.width * ratio);
    const height = Math.round(box.height * ratio);
    if (this.canvas.width !== width || this.canvas.height !== height) {
      this.canvas.width = width;
      this.canvas.height = height;
    }
    const g = this.canvas.getContext('2d');
    g.setTransform(ratio, 0, 0, ratio, 0, 0);
    g.clearRect(0, 0, box.width, box.height);
    this.width = box.width;
    this.topEdge = 13;
    this.bottom = box.height - 15;
    const [first, last, start] = this.range();
    const limits = this.limits(first, last);
    this.grid(g, limits);
    for (let i = this.spec.series.length - 1; i >= 0; i--) {
      this.line(g, this.spec.series[i], first, last, start, limits);
    }
    this.labels(g, limits);
    const shown = this.pointed(first, last, start);
    if (timeline.hover !== null && shown >= 0) {
      this.crosshair(g, shown, start, limits);
    }
    this.showValues(timeline.hover === null ? last - 1 : shown);
  }

  /* Bottom, middle, top; a logarithmic middle only where it is a round number. */
  ticks([low, high]) {
    if (!this.spec.log) {
      return [low, (low + high) / 2, high];
    }
    return Math.round(Math.log10(high / low)) % 2 === 0 ? [low, Math.sqrt(low * high), high] : [low, high];
  }

  grid(g, limits) {
    this.ticks(limits).forEach((value, i) => {
      const y = Math.round(this.at(value, limits)) + 0.5;
      g.strokeStyle = i === 0 ? colours.edge : colours.line;
      g.lineWidth = 1;
      g.beginPath();
      g.moveTo(0, y);
      g.lineTo(this.width, y);
      g.stroke();
    });
  }

  /* Over the lines, each letter with a rim of the background, so that both can be read. */
  labels(g, limits) {
    g.font = '10px ' + cssColour('--sans');
    g.textBaseline = 'bottom';
    g.textAlign = 'left';
    g.strokeStyle = colours.sheet;
    g.lineWidth = 3;
    g.lineJoin = 'round';
    g.fillStyle = colours.faint;
    for (const value of this.ticks(limits).slice(1)) {
      const text = join(this.spec.parts(value)).replace(/(\.\d*?)0+(?!\d)/, '$1').replace(/\.(?!\d)/, '');
      const y = Math.round(this.at(value, limits)) - 0.5;
      g.strokeText(text, 0, y);
      g.fillText(text, 0, y);
    }
    g.textBaseline = 'top';
    g.fillText('−' + timeline.minutes + ' min', 0, this.bottom + 4);
    g.textAlign = 'right';
    g.fillText('now', this.width, this.bottom + 4);
  }

  x(t, start) {
    return (t - start) / (timeline.minutes * 60000) * this.width;
  }

  /* Runs of samples without a gap: a second that is missing is not drawn over, nor is what is beyond `most`. */
  runs(series, first, last, start, most) {
    const t = store.history.t;
    const column = store.history[series.name] || [];
    const runs = [];
    let run = null;
    for (let i = first; i < last; i++) {
      const value = column[i];
      const there = value !== null && value !== undefined && value <= most;
      const gap = i > first && t[i] - t[i - 1] > 5000;
      if (!there || gap) {
        run = null;
      }
      if (there) {
        if (run === null) {
          run = [];
          runs.push(run);
        }
        run.push([this.x(t[i], start), value, i]);
      }
    }
    return runs;
  }

  line(g, series, first, last, start, limits) {
    const colour = colours[series.colour];
    g.save();
    g.beginPath();
    g.rect(0, 0, this.width, this.bottom + 1);
    g.clip();
    g.lineJoin = 'round';
    g.lineCap = 'round';
    const most = series.noScale ? limits[1] : Infinity;
    for (const run of this.runs(series, first, last, start, most)) {
      if (series !== this.spec.series[0] && !this.spec.log && run.every(([, value]) => value === 0)) {
        continue; /* nothing of it: the axis says so */
      }
      if (series.area || series.band) {
        const floor = series.band ? store.history[series.band] : null;
        g.beginPath();
        run.forEach(([x, value]) => g.lineTo(x, this.at(value, limits)));
        for (let i = run.length - 1; i >= 0; i--) {
          const low = floor ? floor[run[i][2]] : null;
          g.lineTo(run[i][0], low === null || low === undefined ? this.bottom : this.at(low, limits));
        }
        g.closePath();
        g.globalAlpha = series.band ? 0.16 : 0.1;
        g.fillStyle = colour;
        g.fill();
        g.globalAlpha = 1;
      }
      g.strokeStyle = colour;
      g.lineWidth = series.area ? 1.5 : 1.25;
      g.setLineDash(series.dashed ? [4, 3] : []);
      g.beginPath();
      run.forEach(([x, value]) => g.lineTo(x, this.at(value, limits)));
      if (run.length === 1) {
        g.lineTo(run[0][0] + 0.1, this.at(run[0][1], limits));
      }
      g.stroke();
    }
    g.restore();
  }

  /* The sample nearest to the pointer, or -1. */
  pointed(first, last, start) {
    if (timeline.hover === null) {
      return -1;
    }
    const t = store.history.t;
    const wanted = start + timeline.hover * timeline.minutes * 60000;
    let best = -1;
    for (let i = first; i < last; i++) {
      if (best < 0 || Math.abs(t[i] - wanted) < Math.abs(t[best] - wanted)) {
        best = i;
      }
    }
    return best >= 0 && Math.abs(t[best] - wanted) < 4000 ? best : -1;
  }

  crosshair(g, index, start, limits) {
    const x = Math.round(this.x(store.history.t[index], start)) + 0.5;
    g.strokeStyle = colours.faint;
    g.lineWidth = 1;
    g.beginPath();
    g.moveTo(x, this.topEdge - 6);
    g.lineTo(x, this.bottom);
    g.stroke();
    for (const series of this.spec.series) {
      const value = (store.history[series.name] || [])[index];
      if (value !== null && value !== undefined && !(series.noScale && value > limits[1])) {
        g.beginPath();
        g.arc(x, this.at(value, limits), 3, 0, 7);
        g.fillStyle = colours[series.colour];
        g.fill();
        g.lineWidth = 1.5;
        g.strokeStyle = colours.sheet;
        g.stroke();
      }
    }
  }

  showValues(index) {
    const said = [];
    let firstUnit = '';
    this.spec.series.forEach((series, i) => {
      const column = store.history[series.name] || [];
      const value = index >= 0 && index < column.length ? column[index] : null;
      const [text, unit] = value === null || value === undefined ? ['–', ''] : this.spec.parts(value);
      setText(this.values[i].text, text);
      firstUnit = i === 0 ? unit : firstUnit;
      const shownUnit = i > 0 && unit === firstUnit ? '' : unit; /* told once is enough */
      setText(this.values[i].unit, shownUnit === '' || shownUnit === '%' ? shownUnit : ' ' + shownUnit);
      said.push(series.label + ' ' + join([text, unit]));
      this.values[i].el.hidden = Boolean(series.optional) && (value === null || value === undefined);
    });
    this.canvas.setAttribute('aria-label', this.spec.title + ': ' + said.join(', '));
  }
}

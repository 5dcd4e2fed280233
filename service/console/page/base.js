/* base.js - elements, small parts, and tables that change in place. Nothing here ever reads markup from a
 * text: everything that comes from the server is set as text. SPDX-License-Identifier: Apache-2.0 */
'use strict';

const $ = (id) => document.getElementById(id);

/* h('button', {class: 'main', onclick: f}, 'Run', h('b', null, 'now')) */
function h(tag, props, ...children) {
  const el = document.createElement(tag);
  for (const [name, value] of Object.entries(props || {})) {
    if (value === undefined || value === null || value === false) {
      continue;
    }
    if (name.startsWith('on')) {
      el.addEventListener(name.slice(2), value);
    } else if (name === 'value' || name === 'checked' || name === 'disabled') {
      el[name] = value;
    } else {
      el.setAttribute(name, value === true ? '' : value);
    }
  }
  el.append(...children.flat(Infinity).filter((c) => c !== null && c !== undefined && c !== false));
  return el;
}

function svg(tag, attributes, ...children) {
  const el = document.createElementNS('http://www.w3.org/2000/svg', tag);
  for (const [name, value] of Object.entries(attributes || {})) {
    el.setAttribute(name, value);
  }
  el.append(...children);
  return el;
}

/* Changes only what is different, so that a selection in the page survives. */
function setText(el, text) {
  if (el.textContent !== text) {
    el.textContent = text;
  }
}

function setClass(el, name) {
  if (el.className !== name) {
    el.className = name;
  }
}

function dot(kind, title) {
  return h('span', {class: 'dot ' + kind, title, role: title ? 'img' : undefined, 'aria-label': title});
}

function meter(share, kind) {
  const bar = h('i');
  bar.style.width = Math.max(0, Math.min(1, share)) * 100 + '%';
  return h('span', {class: 'meter ' + (kind || '')}, bar);
}

function fact(name, value, more) {
  return h('div', {class: 'fact'}, h('dt', null, name), h('dd', null, value, h('small', null, more || '')));
}

function empty(title, text) {
  return h('div', {class: 'empty'}, h('b', null, title), text);
}

function sheet(title, body, end) {
  return h('section', {class: 'sheet'},
    title ? h('div', {class: 'sheet-head'}, h('h2', null, title), end ? h('span', {class: 'end soft num'}, end) : null) : null,
    body);
}

/* One of several: the value of the pressed one is handed to `pick`. */
function segments(label, choices, current, pick) {
  const buttons = choices.map(([value, text]) => h('button', {type: 'button', 'aria-pressed': String(value === current),
    onclick: () => {
      buttons.forEach((b, i) => b.setAttribute('aria-pressed', String(choices[i][0] === value)));
      pick(value);
    }}, text));
  return h('div', {class: 'segments', role: 'group', 'aria-label': label}, buttons);
}

/* A stacked bar and its legend: [[name, value], ...]. */
function stackedBar(parts, format) {
  const total = parts.reduce((sum, [, value]) => sum + value, 0);
  const shown = parts.filter(([, value]) => value > 0).sort((a, b) => b[1] - a[1]);
  const bars = shown.map(([name, value], i) => {
    const bar = h('i', {class: 'fill k' + (i % 5 + 1), title: name + ' ' + format(value)});
    bar.style.flexGrow = String(value / total);
    return bar;
  });
  return h('div', {class: 'stack tight'},
    h('div', {class: 'strip'}, bars),
    h('div', {class: 'legend'}, shown.map(([name, value], i) =>
      h('span', {class: 'k' + (i % 5 + 1)}, name, h('b', null, format(value))))));
}

/* A table whose rows are kept by key: cells change in place, the order follows a column. A column is
 * {title, value(row): what it is sorted by, cell(td, row), n: a number, small: hidden on phones}. */
class Table {
  constructor(columns, options) {
    this.columns = columns;
    this.options = options;
    this.sort = options.sort || {column: 0, down: false};
    this.rows = new Map();
    this.heads = columns.map((column, i) => {
      const th = h('th', {class: this.cellClass(column), scope: 'col'});
      if (column.value) {
        th.append(h('button', {type: 'button', onclick: () => this.sortBy(i)}, column.title));
      } else {
        th.append(column.title || '');
      }
      return th;
    });
    this.body = h('tbody');
    this.el = h('div', {class: 'scroll'}, h('table', null, h('thead', null, h('tr', null, this.heads)), this.body));
    this.showSort();
  }

  cellClass(column) {
    return (column.n ? 'n' : '') + (column.small ? ' hide-s' : '') + (column.nowrap ? ' nowrap' : '');
  }

  sortBy(i) {
    const down = this.sort.column === i ? !this.sort.down : Boolean(this.columns[i].n);
    this.sort = {column: i, down};
    this.showSort();
    this.update(this.data);
  }

  showSort() {
    this.heads.forEach((th, i) => {
      if (i === this.sort.column && this.columns[i].value) {
        th.setAttribute('aria-sort', this.sort.down ? 'descending' : 'ascending');
      } else {
        th.removeAttribute('aria-sort');
      }
    });
  }

  ordered(data) {
    const value = this.columns[this.sort.column].value;
    if (!value) {
      return data;
    }
    const sign = this.sort.down ? -1 : 1;
    return [...data].sort((a, b) => {
      const x = value(a);
      const y = value(b);
      return x < y ? -sign : x > y ? sign : this.options.key(a) < this.options.key(b) ? -1 : 1;
    });
  }

  newRow(item) {
    const cells = this.columns.map((column) => h('td', {class: this.cellClass(column)}));
    const tr = h('tr', {class: this.options.go ? 'go' : undefined}, cells);
    const row = {tr, cells, item};
    if (this.options.go) {
      tr.addEventListener('click', (event) => {
        if (!event.target.closest('a, button') && String(getSelection()) === '') {
          this.options.go(row.item);
        }
      });
    }
    return row;
  }

  update(data) {
    this.data = data;
    const seen = new Set();
    const order = this.ordered(data).map((item) => {
      const key = this.options.key(item);
      const row = this.rows.get(key) || this.newRow(item);
      this.rows.set(key, row);
      seen.add(key);
      row.item = item;
      this.columns.forEach((column, i) => column.cell(row.cells[i], item));
      return row.tr;
    });
    for (const key of this.rows.keys()) {
      if (!seen.has(key)) {
        this.rows.delete(key);
      }
    }
    const now = this.body.children;
    if (now.length !== order.length || order.some((tr, i) => now[i] !== tr)) {
      this.body.replaceChildren(...order);
    }
  }
}

/* collections.js - the table of collections, and one of them in full. SPDX-License-Identifier: Apache-2.0 */
'use strict';

function memorySum(c) {
  return Object.values(c.memory).reduce((sum, bytes) => sum + bytes, 0);
}

function indexedShare(c) {
  return c.stats.rows === 0 ? 1 : Math.min(1, c.stats.indexed / c.stats.rows);
}

function recallOf(c) {
  return c.recall.reduce((low, r) => r.queries > 0 && (low === null || r.recall < low) ? r.recall : low, null);
}

function shape(c) {
  return c.config.dim + ' × ' + c.config.type + ', ' + (METRICS[c.config.metric] || c.config.metric);
}

function collectionTable() {
  const cellText = (format) => (td, c) => setText(td, format(c));
  return new Table([
    {title: 'Name', value: (c) => c.name, cell: (td, c) => {
      const [kind, text] = healthOf(c);
      if (!td.firstChild) {
        td.append(h('span', {class: 'name'}, dot(kind), h('a', {href: '#/collections/' + c.name}, c.name)));
      }
      const mark = td.firstChild.firstChild;
      setClass(mark, 'dot ' + kind);
      mark.title = text || 'healthy';
    }},
    {title: 'Items', n: true, value: (c) => c.stats.items, cell: cellText((c) => fmtInt(c.stats.items))},
    {title: 'Vectors', small: true, nowrap: true, value: (c) => c.config.dim, cell: cellText(shape)},
    {title: 'Searches/s', n: true, value: (c) => store.rates.get(c.name) || 0,
      cell: cellText((c) => store.rates.has(c.name) ? fmtRate(store.rates.get(c.name)) : '–')},
    {title: 'In the graph', small: true, nowrap: true, value: indexedShare, cell: (td, c) => {
      const share = indexedShare(c);
      if (!td.firstChild) {
        td.append(meter(share), h('span'));
      }
      td.firstChild.firstChild.style.width = share * 100 + '%';
      setText(td.lastChild, share === 1 ? 'all' : (Math.floor(share * 1000) / 10).toFixed(1) + ' %');
    }},
    {title: 'Deleted', n: true, small: true, value: (c) => c.stats.rows ? c.stats.deleted / c.stats.rows : 0,
      cell: cellText((c) => c.stats.deleted === 0 ? '–' : fmtShare(c.stats.deleted / c.stats.rows))},
    {title: 'Segments', n: true, small: true, value: (c) => c.stats.segments, cell: cellText((c) => fmtInt(c.stats.segments))},
    {title: 'Memory', n: true, small: true, value: memorySum, cell: cellText((c) => fmtBytes(memorySum(c)))},
    {title: 'On disk', n: true, small: true, value: (c) => c.stats.disk, cell: cellText((c) => c.stats.disk === 0 ? '–' : fmtBytes(c.stats.disk))},
    {title: 'Recall', n: true, small: true, value: (c) => recallOf(c) === null ? -1 : recallOf(c),
      cell: cellText((c) => recallOf(c) === null ? '–' : fmtShare(recallOf(c)))},
  ], {key: (c) => c.name, sort: {column: 1, down: true}, go: (c) => { location.hash = '#/collections/' + c.name; }});
}

const collections = {
  title: 'Collections',
  polls: ['collections'],

  mount() {
    this.table = collectionTable();
    this.count = h('span', {class: 'soft num'});
    this.find = h('input', {type: 'search', placeholder: 'Find by name', 'aria-label': 'Find by name', autocomplete: 'off', spellcheck: 'false',
      oninput: () => this.show()});
    this.body = h('section', {class: 'sheet'});
    return h('div', {class: 'view'},
      h('div', {class: 'head'}, h('h1', null, 'Collections'), this.count, h('div', {class: 'end wide'}, this.find)),
      this.body);
  },

  update(what) {
    if (store.collections && (what === 'collections' || what === 'all')) {
      this.show();
    }
  },

  show() {
    const wanted = this.find.value.trim().toLowerCase();
    const list = store.collections.filter((c) => c.name.includes(wanted));
    setText(this.count, plural(list.length, 'collection', 'collections') + (store.more ? ' (the first)' : '')
      + ', ' + fmtCount(list.reduce((sum, c) => sum + c.stats.items, 0)) + ' items');
    if (list.length === 0) {
      this.body.replaceChildren(store.collections.length === 0
        ? empty('No collections', 'Make one with: omen create docs --dim 768 --metric cosine')
        : empty('No such collection', 'No name contains “' + wanted + '”.'));
      return;
    }
    if (!this.table.el.isConnected) {
      this.body.replaceChildren(this.table.el);
    }
    this.table.update(list);
  },
};

/* ---- One collection ---- */

/* The estimate between its bounds on a line from 80 % to 100 %, or wider when it lies below. */
function intervalPlot(r) {
  const from = r.low < 0.8 ? Math.floor(r.low * 10) / 10 : 0.8;
  const x = (value) => (value - from) / (1 - from) * 140 + 5;
  return svg('svg', {class: 'interval', viewBox: '0 0 150 16', role: 'img', 'aria-label': fmtShare(r.low) + ' to ' + fmtShare(r.high)},
    svg('line', {x1: 5, x2: 145, y1: 8, y2: 8, stroke: 'var(--line)', 'stroke-width': 1}),
    svg('line', {x1: x(r.low), x2: x(r.high), y1: 8, y2: 8, stroke: 'var(--c2)', 'stroke-width': 4, 'stroke-linecap': 'round', opacity: .35}),
    svg('circle', {cx: x(r.recall), cy: 8, r: 3.5, fill: 'var(--c2)'}));
}

const collection = {
  polls: ['collections'],

  mount(name) {
    this.name = name;
    this.title = name;
    this.details = null;
    this.timer = 0;
    this.top = h('div', {class: 'head'});
    this.body = h('div', {class: 'stack'});
    this.sample = h('section', {class: 'sheet', hidden: true});
    this.load();
    this.loadSample();
    return h('div', {class: 'view'}, this.top, this.body);
  },

  unmount() {
    clearTimeout(this.timer);
    this.name = '';
  },

  async load() {
    const name = this.name;
    try {
      const details = await api('collection?name=' + encodeURIComponent(name));
      if (this.name === name) {
        this.details = details;
        heard();
        this.show();
      }
    } catch (error) {
      if (this.name === name && (error.status === 404 || error.status === 403 || error.status === 400)) {
        this.top.replaceChildren(h('h1', null, name));
        this.body.replaceChildren(h('section', {class: 'sheet'}, empty(
          error.status === 404 ? 'There is no such collection' : 'You may not see this collection', error.message)));
        return;
      }
      missed(error);
    }
    if (this.name === name) {
      clearTimeout(this.timer);
      this.timer = setTimeout(() => document.hidden ? this.later() : this.load(), 3000);
    }
  },

  /* A few items, looked at once: what is in there? */
  async loadSample() {
    const name = this.name;
    try {
      const {items} = await api('items', {collection: name, limit: 5});
      if (this.name === name && items.length > 0) {
        this.sample.hidden = false;
        this.sample.replaceChildren(h('div', {class: 'sheet-head'}, h('h2', null, 'Some items'),
          h('a', {class: 'end link', href: '#/search/' + name + '?limit=50'}, 'More')), search.list(items));
      }
    } catch (error) {
      if (error.status === 0) {
        missed(error);
      }
    }
  },

  later() {
    document.addEventListener('visibilitychange', () => this.name !== '' && this.load(), {once: true});
  },

  update() {},

  show() {
    const c = this.details;
    const [kind, text] = healthOf(c);
    if (String(getSelection()) !== '') {
      return; /* somebody is copying */
    }
    this.top.replaceChildren(
      h('h1', null, h('span', {class: 'name'}, dot(kind), h('span', null, c.name))),
      h('span', {class: 'soft'}, shape(c) + ', ids: ' + c.config.id_type + (c.read_only ? ', read-only' : '')),
      h('div', {class: 'end'},
        c.manage && !c.read_only ? h('button', {type: 'button', onclick: () => this.optimize(),
          title: 'Merges all segments into one without deleted rows'}, 'Optimize') : null,
        h('button', {type: 'button', class: 'main', onclick: () => { location.hash = '#/search/' + c.name; }}, 'Search it')));
    this.body.replaceChildren(
      text ? h('p', {class: 'notice ' + (kind === 'bad' ? 'bad' : '')}, dot(kind), text) : '',
      h('section', {class: 'sheet'}, h('div', {class: 'pad stack'}, this.facts(c))),
      h('div', {class: 'halves'},
        h('div', {class: 'stack'}, this.memory(c), this.recall(c), this.config(c)),
        this.fields(c)),
      this.sample);
  },

  facts(c) {
    const s = c.stats;
    return h('dl', {class: 'facts'},
      fact('Items', fmtInt(s.items)),
      fact('Deleted rows', fmtInt(s.deleted), s.deleted ? fmtShare(s.deleted / s.rows) : ''),
      fact('In the graph', indexedShare(c) === 1 ? 'all' : fmtShare(indexedShare(c)), s.backlog ? fmtCount(s.backlog) + ' to go' : ''),
      fact('Segments', fmtInt(s.segments), s.frozen ? fmtInt(s.frozen) + ' being written' : ''),
      fact('Searches', fmtCount(s.searches), store.rates.has(c.name) ? fmtRate(store.rates.get(c.name)) + ' /s' : ''),
      fact('Distances a search', s.searches ? fmtCount(Math.round(s.distances / s.searches)) : '–'),
      fact('A graph search', c.search_ns ? fmtNs(c.search_ns) : '–'),
      fact('On disk', s.disk ? fmtBytes(s.disk) : '–', s.mapped ? fmtBytes(s.mapped) + ' mapped' : ''),
      fact('Version', c.version, c.progress && c.progress.durable !== c.version ? 'durable ' + c.progress.durable : ''));
  },

  memory(c) {
    return sheet('Memory', h('div', {class: 'pad'}, memorySum(c) === 0 ? h('p', {class: 'soft'}, 'Nothing yet.')
      : stackedBar(Object.entries(c.memory), fmtBytes)), fmtBytes(memorySum(c)));
  },

  recall(c) {
    if (c.recall.length === 0) {
      return sheet('Recall', h('p', {class: 'pad soft'}, 'No search of users was measured yet: one of many is done again, exactly, and compared.'));
    }
    return sheet('Recall of what users search', h('div', {class: 'scroll'}, h('table', null,
      h('thead', null, h('tr', null, h('th', null, 'Plan'), h('th', {class: 'n'}, 'Estimate'), h('th', {class: 'hide-s'}, '95 % interval'), h('th', {class: 'n'}, 'Queries'))),
      h('tbody', null, c.recall.map((r) => h('tr', null, h('td', {title: PLANS[r.plan]}, r.plan), h('td', {class: 'n'}, fmtShare(r.recall)),
        h('td', {class: 'hide-s'}, h('span', {title: fmtShare(r.low) + ' to ' + fmtShare(r.high)}, intervalPlot(r))),
        h('td', {class: 'n'}, fmtInt(r.queries))))))));
  },

  config(c) {
    const o = c.config;
    const chips = [['dim', o.dim], ['metric', METRICS[o.metric] || o.metric], ['type', o.type], ['codes', o.quantization === 'sq8' ? '8 bit' : 'none'],
      ['m', o.m], ['ef_construction', o.ef_construction], ['durability', o.durability], ['rotated', c.rotated ? 'yes' : 'no']];
    return sheet('Made with', h('div', {class: 'pad chips'}, chips.map(([name, value]) => h('span', {class: 'chip'}, name, h('b', null, String(value))))));
  },

  fields(c) {
    const list = c.fields || [];
    if (list.length === 0) {
      return sheet('Fields', empty('No metadata', 'Fields get their types from the first values, or are declared.'));
    }
    const type = (f) => f.type + (f.array ? '[]' : '');
    return sheet('Fields', h('div', {class: 'scroll'}, h('table', null,
      h('thead', null, h('tr', null, h('th', null, 'Field'), h('th', null, 'Type'), h('th', null, ''))),
      h('tbody', null, list.map((f) => h('tr', null, h('td', {class: 'mono'}, f.name), h('td', null, type(f)),
        h('td', {class: 'soft'}, f.type === 'text' ? (f.language || 'english') + (f.weight && f.weight !== 1 ? ', weight ' + f.weight : '') : '')))))),
    fmtInt(list.length));
  },

  async optimize() {
    try {
      await api('operations/start', {kind: 'optimize', target: this.name});
      location.hash = '#/operations';
    } catch (error) {
      this.body.prepend(faultBox(error));
    }
  },
};

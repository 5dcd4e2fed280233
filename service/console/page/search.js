/* search.js - the playground: like an item, by words, by numbers, with a filter; or only looking at items.
 * What is asked for is kept in the address, so that a search can be sent to somebody.
 * SPDX-License-Identifier: Apache-2.0 */
'use strict';

/* JSON as it was written (numbers may be larger than a script can hold), its fields and values told apart. */
function metadataParts(json) {
  const fields = [];
  const token = /("(?:\\.|[^"\\])*")(\s*:)?|(-?\d[\d.eE+-]*|true|false|null)|([{}\[\],])/g;
  let depth = 0;
  const put = (...parts) => fields.length > 0 && fields[fields.length - 1].append(...parts);
  for (let m = token.exec(json); m !== null; m = token.exec(json)) {
    if (m[1] !== undefined && m[2]) {
      if (depth === 1) {
        fields.push(h('span', {class: 'f'}));
      }
      put(h('span', {class: 'k'}, m[1].slice(1, -1)), ': ');
    } else if (m[1] !== undefined) {
      put(h('span', {class: 's'}, m[1]));
    } else if (m[3] !== undefined) {
      put(h('span', {class: 'v'}, m[3]));
    } else {
      depth += m[4] === '{' || m[4] === '[' ? 1 : m[4] === ',' ? 0 : -1;
      const outer = m[4] === '{' || m[4] === ',' ? depth === 1 : m[4] === '}' && depth === 0;
      put(outer ? '' : m[4] === ',' ? ', ' : m[4]);
    }
  }
  return fields.flatMap((field) => [field, ' ']);
}

const search = {
  title: 'Search',
  polls: ['collections'],

  mount(name, parameters) {
    const text = (id, props) => h('input', {id, autocomplete: 'off', spellcheck: 'false', ...props});
    this.collection = h('select', {id: 'q-collection', onchange: () => this.chosen()});
    this.like = text('q-like', {class: 'mono', placeholder: 'ids, separated by commas'});
    this.text = text('q-text', {placeholder: 'words, or "a phrase"'});
    this.vector = h('textarea', {id: 'q-vector', rows: 2, class: 'mono', placeholder: '[0.12, -0.5, …]', spellcheck: 'false'});
    this.filter = h('textarea', {id: 'q-filter', rows: 3, class: 'mono', spellcheck: 'false', placeholder: "price < 40 AND tag IN ('a', 'b')"});
    this.limit = text('q-limit', {type: 'number', min: 1, max: 1000, value: '10'});
    this.ef = text('q-ef', {type: 'number', min: 0, max: 16384, placeholder: 'chosen'});
    this.rerank = text('q-rerank', {type: 'number', min: 0, max: 16384, placeholder: 'chosen'});
    this.exact = h('input', {type: 'checkbox', id: 'q-exact'});
    this.fusion = h('select', {id: 'q-fusion'}, h('option', {value: 'rrf'}, 'by rank'), h('option', {value: 'weighted'}, 'by score'));
    this.order = text('q-order', {placeholder: 'field', class: 'mono'});
    this.chips = h('div', {class: 'chips'});
    this.run = h('button', {type: 'submit', class: 'main'}, 'Search');
    this.out = h('div', {class: 'stack', 'aria-live': 'polite'});
    this.wanted = name || parameters.get('collection') || '';
    this.auto = [...parameters].length > 0;
    this.fill(parameters);
    this.out.append(h('section', {class: 'sheet'}, empty('Nothing searched yet', 'Name an item, some words or a vector; with none of them, items are listed.')));
    this.listen();
    return h('div', {class: 'view'}, h('h1', {hidden: true}, 'Search'), h('div', {class: 'split'}, this.form(), this.out));
  },

  unmount() {
    this.fields = null;
    this.sequence = (this.sequence || 0) + 1;
  },

  field(label, input, end) {
    return h('label', {class: 'field'}, h('span', null, label, end || null), input);
  },

  form() {
    const fold = h('details', {class: 'more'}, h('summary', null, 'More'),
      h('div', {class: 'stack'},
        this.field('Vector, as numbers', this.vector),
        h('div', {class: 'cols3'}, this.field('ef', this.ef), this.field('Re-ranked', this.rerank), this.field('Fusion', this.fusion)),
        this.field('Order of items, when nothing is searched for', this.order),
        h('label', {class: 'tick'}, this.exact, 'Compare every row (exact)')));
    fold.open = this.vector.value !== '' || this.ef.value !== '' || this.rerank.value !== '' || this.exact.checked || this.order.value !== '';
    return h('form', {class: 'sheet', onsubmit: (event) => {
      event.preventDefault();
      this.go();
    }}, h('div', {class: 'pad stack'},
      this.field('Collection', this.collection),
      this.field('Like these items', this.like),
      this.field('Words', this.text),
      h('div', {class: 'stack tight'}, this.field('Filter', this.filter), this.chips),
      fold,
      h('div', {class: 'row keep'}, h('label', {class: 'row keep soft grow'}, 'Limit', h('span', null, this.limit)), h('kbd', {class: 'hide-s'}, 'Ctrl ⏎'), this.run)));
  },

  listen() {
    for (const input of [this.like, this.text, this.vector, this.filter, this.limit, this.ef, this.rerank]) {
      input.addEventListener('keydown', (event) => {
        if (event.key === 'Enter' && (event.ctrlKey || event.metaKey)) {
          event.preventDefault();
          this.go();
        }
      });
    }
    for (const input of [this.like, this.text, this.vector]) {
      input.addEventListener('input', () => this.nameButton());
    }
  },

  nameButton() {
    setText(this.run, this.like.value.trim() || this.text.value.trim() || this.vector.value.trim() ? 'Search' : 'List items');
  },

  fill(parameters) {
    const get = (name) => parameters.get(name) || '';
    this.like.value = get('like');
    this.text.value = get('text');
    this.vector.value = get('vector');
    this.filter.value = get('filter');
    this.limit.value = get('limit') || '10';
    this.ef.value = get('ef');
    this.rerank.value = get('rerank');
    this.order.value = get('order');
    this.exact.checked = get('exact') === '1';
    this.fusion.value = get('fusion') === 'weighted' ? 'weighted' : 'rrf';
    this.nameButton();
  },

  update(what) {
    if (!store.collections || !(what === 'collections' || what === 'all')) {
      return;
    }
    const names = store.collections.map((c) => c.name).sort();
    const known = [...this.collection.options].map((o) => o.value);
    if (names.join() === known.join() && names.length > 0) {
      return;
    }
    const before = this.collection.value || this.wanted;
    this.collection.replaceChildren(...names.map((name) => h('option', {value: name}, name)));
    this.run.disabled = names.length === 0;
    if (names.length === 0) {
      this.out.replaceChildren(h('section', {class: 'sheet'}, empty('No collections', 'There is nothing to search in yet.')));
      return;
    }
    if (names.includes(before)) {
      this.collection.value = before;
    } else {
      const largest = store.collections.reduce((a, b) => b.stats.items > a.stats.items ? b : a);
      this.collection.value = largest.name;
    }
    this.chosen();
    if (this.auto) {
      this.auto = false;
      this.go();
    }
  },

  current() {
    return (store.collections || []).find((c) => c.name === this.collection.value);
  },

  async chosen() {
    const name = this.collection.value;
    this.chips.replaceChildren();
    try {
      const details = await api('collection?name=' + encodeURIComponent(name));
      if (this.collection.value === name) {
        this.showFields(details.fields || []);
        this.text.disabled = !(details.fields || []).some((f) => f.type === 'text');
        this.text.placeholder = this.text.disabled ? 'no field of this collection is text' : 'words, or "a phrase"';
      }
    } catch (error) {
      missed(error);
    }
  },

  showFields(fields) {
    this.chips.replaceChildren(...fields.slice(0, 24).map((f) => h('button', {type: 'button', class: 'chip', title: f.type + (f.array ? '[]' : ''),
      onclick: () => this.insert(/^[A-Za-z_][\w.]*$/.test(f.name) ? f.name : '"' + f.name + '"')}, f.name)));
  },

  insert(text) {
    const area = this.filter;
    const at = area.selectionStart;
    const space = at > 0 && !/\s$/.test(area.value.slice(0, at)) ? ' ' : '';
    area.setRangeText(space + text + ' ', at, area.selectionEnd, 'end');
    area.focus();
  },

  /* ---- Asking ---- */

  ids() {
    return this.like.value.split(',').map((id) => id.trim()).filter((id) => id !== '');
  },

  request() {
    const number = (input) => input.value === '' ? 0 : Number(input.value);
    const q = {collection: this.collection.value, limit: number(this.limit) || 10};
    const vector = this.vector.value.trim();
    if (this.filter.value.trim() !== '') {
      q.filter = this.filter.value;
    }
    if (this.ids().length > 0) {
      q.like = this.ids();
    }
    if (vector !== '') {
      q.vector = JSON.parse(vector.startsWith('[') ? vector : '[' + vector + ']');
    }
    if (this.text.value.trim() !== '' && !this.text.disabled) {
      q.text = this.text.value;
    }
    if (!q.like && !q.vector && !q.text) {
      if (this.order.value.trim() !== '') {
        q.order_by = this.order.value.trim();
      }
      return ['items', q];
    }
    Object.assign(q, {ef: number(this.ef), rerank: number(this.rerank), exact: this.exact.checked, fusion: this.fusion.value});
    return ['search', q];
  },

  /* The address of this search, so that it can be kept. */
  remember() {
    const p = new URLSearchParams();
    const put = (name, value) => value !== '' && p.set(name, value);
    put('like', this.like.value.trim());
    put('text', this.text.value.trim());
    put('vector', this.vector.value.length < 2000 ? this.vector.value.trim() : '');
    put('filter', this.filter.value.trim());
    put('limit', this.limit.value);
    put('ef', this.ef.value);
    put('rerank', this.rerank.value);
    put('order', this.order.value.trim());
    put('exact', this.exact.checked ? '1' : '');
    put('fusion', this.fusion.value === 'weighted' ? 'weighted' : '');
    history.replaceState(null, '', '#/search/' + this.collection.value + '?' + p);
  },

  async go() {
    const turn = this.sequence = (this.sequence || 0) + 1;
    let path;
    let q;
    try {
      [path, q] = this.request();
    } catch (ignored) {
      this.out.replaceChildren(faultBox({reason: 'VECTOR', message: 'The vector is no list of numbers: [0.1, 0.2, …]'}));
      return;
    }
    this.remember();
    this.run.disabled = true;
    const start = performance.now();
    try {
      const answer = await api(path, q);
      if (turn === this.sequence) {
        this.answer = {path, q, answer, roundTrip: performance.now() - start};
        this.show();
      }
    } catch (error) {
      if (turn === this.sequence) {
        this.out.replaceChildren(faultBox(error, q.filter));
      }
      if (!(error instanceof ApiError) || error.status === 0 || error.status === 401) {
        missed(error);
      }
    }
    this.run.disabled = false;
  },

  /* ---- Showing ---- */

  show() {
    const {path, q, answer, roundTrip} = this.answer;
    const c = this.current();
    if (path === 'items') {
      this.out.replaceChildren(sheet(answer.items.length === 0 ? 'No items' : 'Items',
        answer.items.length === 0 ? empty('Nothing passes', 'No item of ' + q.collection + ' passes this filter.') : this.list(answer.items),
        fmtInt(answer.matches) + (q.filter ? ' pass' : ' in all') + ', ' + fmtNs(roundTrip * 1e6)));
      return;
    }
    const vectors = q.like || q.vector;
    const compare = vectors && !q.exact && !q.text && answer.explain.plan !== 'exact' && answer.hits.length > 0
      ? h('button', {type: 'button', class: 'link', onclick: () => this.compare()}, 'Compare with exact') : null;
    this.verdict = h('span', {class: 'soft'});
    this.hits = sheet(null, answer.hits.length === 0 ? empty('Nothing found', 'No item passes, or none has these words.') : this.list(answer.hits));
    this.hits.prepend(h('div', {class: 'sheet-head'},
      h('h2', null, plural(answer.hits.length, 'hit', 'hits')), this.verdict, h('span', {class: 'end'}, compare)));
    this.out.replaceChildren(explainSheet(answer, c ? c.stats.items : 0, roundTrip), this.hits);
  },

  list(items, missed) {
    const values = items.map((x) => x.distance ?? x.score ?? 0);
    const best = values[0];
    const span = Math.max(Math.abs(best - values[values.length - 1]), 1e-30);
    return h('ol', {class: 'hits' + (items.some((x) => x.id.length > 17) ? ' long' : '')}, items.map((item, i) => this.hit(item, i, Math.abs(values[i] - best) / span, missed)));
  },

  /* behind: 0 for the best, 1 for the last: where the hits thin out is seen at a glance. */
  hit(item, i, behind, missed) {
    const value = item.distance ?? item.score;
    const plain = item.distance === undefined && item.score === undefined;
    const li = h('li', {class: 'hit' + (plain ? ' plain' : '') + (missed && missed.has(item.id) ? ' missed' : '')},
      h('span', {class: 'rank'}, i + 1),
      h('span', {class: 'who'}, h('button', {type: 'button', class: 'link id mono', title: 'More like this one', onclick: () => this.likeThis(item.id)}, item.id)));
    const meta = h('div', {class: 'meta', title: 'Click for all of it', onclick: () => String(getSelection()) === '' && li.classList.toggle('open')},
      metadataParts(item.metadata || ''));
    li.append(meta);
    if (!plain) {
      li.append(h('span', {class: 'value', title: (item.distance !== undefined ? 'distance' : 'score') + '; the bar: from the best to the last'},
        value === null ? '–' : Number(value).toPrecision(6), meter(behind)));
    }
    return li;
  },

  likeThis(id) {
    if (shown.view !== this) {
      location.hash = '#/search/' + shown.view.name + '?like=' + encodeURIComponent(id);
      return;
    }
    this.like.value = id;
    this.text.value = '';
    this.vector.value = '';
    this.nameButton();
    this.go();
  },

  /* The same search over every row: which of the true neighbours were found? */
  async compare() {
    const {q, answer} = this.answer;
    const turn = this.sequence;
    try {
      const exact = await api('search', {...q, exact: true});
      if (turn !== this.sequence) {
        return;
      }
      const found = new Set(answer.hits.map((hit) => hit.id));
      const worst = exact.hits.length > 0 ? exact.hits[exact.hits.length - 1].distance : 0;
      const missed = new Set(exact.hits.filter((hit) => !found.has(hit.id)).map((hit) => hit.id));
      const good = answer.hits.filter((hit) => hit.distance <= worst).length;
      const list = this.list(exact.hits, missed);
      setText(this.verdict, 'of the ' + exact.hits.length + ' true neighbours ' + Math.min(good, exact.hits.length) + ' were found; exact took '
        + fmtNs(exact.explain.engine_ns) + ' (' + digits(exact.explain.engine_ns / Math.max(1, answer.explain.engine_ns)) + ' times)');
      this.hits.querySelector('.hits').replaceWith(list);
      this.hits.querySelector('.end').replaceChildren(missed.size > 0 ? h('span', {class: 'bad'}, 'missed ones are marked') : h('span', {class: 'good'}, 'nothing missed'));
    } catch (error) {
      this.out.prepend(faultBox(error, q.filter));
    }
  },
};

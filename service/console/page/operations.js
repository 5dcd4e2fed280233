/* operations.js - maintenance that runs and ran, starting it, and calls that took long.
 * SPDX-License-Identifier: Apache-2.0 */
'use strict';

const KINDS = {
  optimize: 'Optimize',
  checkpoint: 'Checkpoint',
  backup: 'Backup',
  restore: 'Restore',
  verify: 'Verify',
};

function operationTime(o) {
  const end = o.ended_unix_ms || Date.now();
  return fmtDuration((end - o.started_unix_ms) / 1000);
}

function operationState(o) {
  const kinds = {queued: ['', 'waits'], running: ['busy', 'runs'], succeeded: ['good', 'done'], failed: ['bad', 'failed'], cancelled: ['', 'cancelled']};
  return kinds[o.state] || ['', o.state];
}

/* What it came to, or how far it is. */
function operationResult(o) {
  if (o.error) {
    return h('span', {class: o.state === 'failed' ? 'bad' : 'soft'}, o.error.message);
  }
  if (o.result) {
    return h('span', {class: 'soft'}, plural(o.result.files, 'file', 'files') + ', ' + fmtBytes(o.result.bytes)
      + (o.result.files_linked ? ', ' + fmtInt(o.result.files_linked) + ' of them linked' : ''));
  }
  if (o.state === 'running') {
    return o.total > 0
      ? h('span', {class: 'row keep'}, h('span', {class: 'grow'}, meter(o.done / o.total, 'wide')), h('span', {class: 'num soft'}, fmtShare(o.done / o.total)))
      : h('span', {class: 'soft'}, o.done > 0 ? fmtCount(o.done) + ' done' : '');
  }
  return '';
}

function operationList(list, cancel) {
  return h('div', {class: 'scroll'}, h('table', null, h('tbody', null, list.map((o) => {
    const [kind, text] = operationState(o);
    return h('tr', null,
      h('td', {class: 'fit'}, h('span', {class: 'name'}, dot(kind, text), h('span', null, KINDS[o.kind] || o.kind))),
      h('td', {class: 'fit'}, o.target),
      h('td', {class: 'fit soft hide-s'}, text),
      h('td', null, operationResult(o)),
      h('td', {class: 'fit n soft hide-s', title: 'took'}, o.state === 'queued' ? '' : operationTime(o)),
      h('td', {class: 'fit n soft hide-s', title: 'begun by'}, o.who === 'anonymous' ? '' : o.who),
      h('td', {class: 'fit n soft'}, o.started_unix_ms ? fmtWhen(o.started_unix_ms) : 'waits'),
      cancel ? h('td', {class: 'fit n'}, o.state === 'running' || o.state === 'queued'
        ? h('button', {type: 'button', class: 'link', onclick: () => cancel(o.id)}, 'Cancel') : '') : null);
  }))));
}

const operations = {
  title: 'Operations',
  polls: ['operations', 'collections', 'slow'],

  mount() {
    this.kind = h('select', {'aria-label': 'What to start', onchange: () => this.shape()},
      Object.keys(KINDS).map((kind) => h('option', {value: kind}, KINDS[kind])));
    this.collection = h('select', {'aria-label': 'Collection'});
    this.name = h('input', {'aria-label': 'Name of the backup', placeholder: 'name of the backup', autocomplete: 'off', spellcheck: 'false'});
    this.other = h('input', {'aria-label': 'Into', autocomplete: 'off', spellcheck: 'false'});
    this.submit = h('button', {type: 'submit'}, 'Start');
    this.fault = h('div');
    this.form = h('form', {class: 'row', onsubmit: (event) => {
      event.preventDefault();
      this.start();
    }}, [this.kind, this.collection, this.name, this.other].map((input) => h('span', null, input)), this.submit);
    this.list = h('section', {class: 'sheet'});
    this.slowHead = h('h2', null, 'Calls that took long');
    this.slowBody = h('div');
    this.shape();
    return h('div', {class: 'view'},
      h('div', {class: 'head'}, h('h1', null, 'Operations'), h('div', {class: 'end'}, this.form)),
      this.fault, this.list,
      h('section', {class: 'sheet'}, h('div', {class: 'sheet-head'}, this.slowHead), this.slowBody));
  },

  shape() {
    const kind = this.kind.value;
    this.collection.parentElement && (this.collection.parentElement.hidden = kind !== 'optimize');
    this.collection.hidden = kind !== 'optimize';
    this.name.hidden = kind === 'optimize' || kind === 'checkpoint';
    this.other.hidden = kind !== 'backup' && kind !== 'restore';
    this.other.placeholder = kind === 'restore' ? 'name of the new folder' : 'an older one to link from (optional)';
    for (const input of [this.collection, this.name, this.other]) {
      if (input.parentElement) {
        input.parentElement.hidden = input.hidden;
      }
    }
  },

  update(what) {
    if (store.collections && (what === 'collections' || what === 'all')) {
      const names = store.collections.filter((c) => c.manage && !c.read_only).map((c) => c.name).sort();
      if (names.join() !== [...this.collection.options].map((o) => o.value).join()) {
        this.collection.replaceChildren(...names.map((name) => h('option', {value: name}, name)));
      }
    }
    if (store.state) {
      const admin = store.state.you.admin;
      for (const option of this.kind.options) {
        const folder = option.value === 'backup' || option.value === 'restore' || option.value === 'verify';
        option.disabled = (option.value !== 'optimize' && !admin) || (folder && !store.state.server.backups);
        option.title = folder && !store.state.server.backups ? 'omend was started without --backup-dir' : '';
      }
      this.submit.disabled = this.kind.value === 'optimize' && this.collection.options.length === 0;
    }
    if (store.operations && (what === 'operations' || what === 'all')) {
      this.list.replaceChildren(store.operations.length === 0
        ? empty('Nothing runs', 'Merges, checkpoints and backups that are started here, by the tool or over gRPC show up in this place.')
        : operationList(store.operations, (id) => this.cancel(id)));
    }
    if (store.slow && (what === 'slow' || what === 'all')) {
      this.showSlow();
    }
  },

  async start() {
    const kind = this.kind.value;
    const q = {kind, target: kind === 'optimize' ? this.collection.value : kind === 'checkpoint' ? '' : this.name.value.trim()};
    if (!this.other.hidden && this.other.value.trim() !== '') {
      q.other = this.other.value.trim();
    }
    await this.ask('operations/start', q);
  },

  cancel(id) {
    return this.ask('operations/cancel', {id});
  },

  async ask(path, q) {
    this.fault.replaceChildren();
    try {
      await api(path, q);
      polls.operations.now();
    } catch (error) {
      this.fault.replaceChildren(faultBox(error));
    }
  },

  showSlow() {
    if (store.slow.length === 0) {
      this.slowBody.replaceChildren(empty('None', 'No call took longer than --slow-log-ms since the server was started.'));
      return;
    }
    const us = (value) => value === 0 ? '–' : fmtNs(value * 1000);
    this.slowBody.replaceChildren(h('div', {class: 'scroll'}, h('table', null,
      h('thead', null, h('tr', null, h('th', null, 'When'), h('th', null, 'Call'), h('th', null, 'Collection'), h('th', {class: 'n'}, 'In all'),
        h('th', {class: 'n hide-s'}, 'Waited'), h('th', {class: 'n hide-s'}, 'Engine'), h('th', {class: 'n hide-s'}, 'Sending'),
        h('th', {class: 'hide-s'}, 'Search'), h('th', {class: 'hide-s'}, 'Who'))),
      h('tbody', null, store.slow.slice(0, 30).map((c) => h('tr', null,
        h('td', {class: 'nowrap soft'}, fmtWhen(c.unix_ms)),
        h('td', {class: 'nowrap', title: c.service + (c.request_id ? ', request ' + c.request_id : '')}, c.method, c.code ? h('span', {class: 'bad', title: c.why}, ' code ' + c.code) : null),
        h('td', null, c.collection), h('td', {class: 'n'}, us(c.total_us)), h('td', {class: 'n hide-s'}, us(c.queue_us)),
        h('td', {class: 'n hide-s'}, us(c.engine_us)), h('td', {class: 'n hide-s'}, us(c.send_us)),
        h('td', {class: 'soft hide-s nowrap'}, c.plan ? c.plan + ', k ' + c.k + (c.ef ? ', ef ' + c.ef : '') + (c.filtered ? ', filtered' : '') : ''),
        h('td', {class: 'soft hide-s', title: c.peer}, c.principal === 'anonymous' ? '' : c.principal)))))));
  },
};

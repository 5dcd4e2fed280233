/* overview.js - how the server stands, its plots, its largest collections. SPDX-License-Identifier: Apache-2.0 */
'use strict';

/* ---- How things stand: what an operator would want to be told ---- */

/* Health of a collection: [kind, what is wrong with it, or '']. */
function healthOf(c) {
  const s = c.stats;
  const lowest = c.recall.reduce((low, r) => Math.min(low, r.queries >= 50 ? r.recall : 1), 1);
  if (c.damaged) {
    return ['bad', 'a file of it was cut while it was served: restore a backup'];
  }
  if (lowest < 0.9) {
    return ['warn', 'searches find ' + fmtShare(lowest) + ' of the true neighbours: raise ef'];
  }
  if (s.backlog > 10000 && s.backlog > s.rows * 0.1) {
    return ['busy', fmtCount(s.backlog) + ' rows are not in the graph yet: they are scanned meanwhile'];
  }
  if (s.deleted > 10000 && s.deleted > s.rows * 0.3) {
    return ['warn', fmtShare(s.deleted / s.rows) + ' of its rows are deleted: optimize it'];
  }
  return ['good', ''];
}

const DATABASE_STATES = {
  read_only: ['warn', 'The database is read-only.'],
  disk_full: ['bad', 'The disk is full: writes are refused until there is space. Searches and deletes go on.'],
  failed: ['bad', 'The log could not be written: the server drains, and a restart replays it.'],
  damaged: ['bad', 'The log is damaged: the database is read-only. Restore a backup.'],
};

function last(name) {
  const column = store.history[name] || [];
  return column.length > 0 ? column[column.length - 1] : null;
}

function noticesOf() {
  const list = [];
  const {server, database, memory} = store.state;
  if (server.phase === 'draining') {
    list.push(['warn', 'The server drains: calls that run are finished, new ones are refused.']);
  }
  if (server.phase === 'starting') {
    list.push(['warn', 'The server starts: it maps its segments and replays the log.']);
  }
  if (database && DATABASE_STATES[database.state]) {
    const [kind, text] = DATABASE_STATES[database.state];
    list.push([kind, text + (database.reason ? ' (' + database.reason + ')' : '')]);
  }
  if (memory && memory.limit > 0 && memory.used > memory.limit * 0.9) {
    list.push(['warn', 'Memory: ' + fmtShare(memory.used / memory.limit) + ' of the budget of ' + fmtBytes(memory.limit)
      + ' is used. Beyond it writes are refused.']);
  }
  const recall = last('recall');
  if (recall !== null && recall < 0.9) {
    list.push(['warn', 'Recall is estimated at ' + fmtShare(recall) + ': raise ef of searches, or ef_construction.']);
  }
  if (last('durable_lag') > 5000) {
    list.push(['warn', 'What was written ' + fmtDuration(last('durable_lag') / 1000) + ' ago is not durable yet.']);
  }
  for (const c of store.collections || []) {
    const [kind, text] = healthOf(c);
    if (kind === 'bad' || kind === 'warn') {
      list.push([kind, c.name + ': ' + text + '.']);
    }
  }
  return list.slice(0, 6);
}

function sumOf(name) {
  return (store.collections || []).reduce((sum, c) => sum + c.stats[name], 0);
}

function standing() {
  const {server, database} = store.state;
  const list = store.collections || [];
  const backlog = sumOf('backlog');
  const bad = noticesOf().some(([kind]) => kind === 'bad');
  const phases = {serving: 'Serving', starting: 'Starting', draining: 'Draining'};
  const kind = bad ? 'bad' : server.phase === 'serving' ? 'good' : 'warn';
  const parts = [h('b', null, phases[server.phase] || server.phase),
    h('span', null, h('b', null, fmtInt(list.length) + (store.more ? '+' : '')), list.length === 1 ? ' collection' : ' collections'),
    h('span', null, h('b', null, fmtCount(sumOf('items'))), ' items'),
    h('span', null, backlog === 0 ? 'everything is indexed' : h('b', null, fmtCount(backlog)), backlog === 0 ? '' : ' rows to index')];
  if (database) {
    parts.push(h('span', null, database.state === 'writable' ? 'writable' : database.state.replace('_', '-')));
  }
  if (server.phase === 'serving' && !server.persistent) {
    parts.push(h('span', {class: 'soft', title: 'omend was started without --data-dir'}, 'in memory only'));
  }
  const line = [];
  parts.forEach((part, i) => line.push(i > 0 ? h('span', {class: 'sep', 'aria-hidden': 'true'}, '·') : null, part));
  return h('p', {class: 'standing'}, dot(kind), line);
}

/* ---- Plots ---- */

const PLOTS = [
  {title: 'Searches per second', parts: partsRate, least: 10, series: [
    {name: 'searches', label: 'all', colour: 'c1', area: true}, {name: 'filtered', label: 'filtered', colour: 'c2'}]},
  {title: 'Search latency', parts: partsNs, log: true, series: [
    {name: 'p99', label: 'p99', colour: 'c4'}, {name: 'p95', label: 'p95', colour: 'c3'}, {name: 'p50', label: 'p50', colour: 'c1'}]},
  {title: 'Calls per second', parts: partsRate, least: 10, series: [
    {name: 'calls', label: 'all', colour: 'c1', area: true}, {name: 'errors', label: 'failed', colour: 'c4'},
    {name: 'refused', label: 'refused', colour: 'c3'}]},
  {title: 'In flight and waiting', parts: partsCount, least: 5, series: [
    {name: 'in_flight', label: 'calls', colour: 'c1', area: true}, {name: 'searches_queued', label: 'searches wait', colour: 'c3'},
    {name: 'ingest_queued', label: 'batches wait', colour: 'c2'}]},
  {title: 'Rows written per second', parts: partsRate, least: 10, series: [
    {name: 'rows', label: 'rows', colour: 'c2', area: true}]},
  {title: 'Write latency', parts: partsNs, log: true, series: [
    {name: 'commit_p99', label: 'batch p99', colour: 'c4'}, {name: 'commit_p50', label: 'p50', colour: 'c2'},
    {name: 'fsync_p99', label: 'sync p99', colour: 'c5'}]},
  {title: 'Rows not in the graph', parts: partsCount, least: 100, series: [
    {name: 'unindexed', label: 'rows', colour: 'c3', area: true}]},
  {title: 'Recall, lowest estimate', parts: partsShare, floor: (low) => Math.min(0.9, Math.floor(low * 20) / 20), top: 1,
    series: [{name: 'recall', label: 'recall', colour: 'c2', band: 'recall_low'}, {name: 'recall_low', label: '95 % bound', colour: 'c5', dashed: true}]},
  {title: 'Memory', parts: partsBytes, base: 1024, least: 64 * 1048576, series: [
    {name: 'resident', label: 'process', colour: 'c1', area: true}, {name: 'memory_used', label: 'indexes', colour: 'c2'},
    {name: 'budget', label: 'budget', colour: 'c5', dashed: true, noScale: true, optional: true}]},
  {title: 'Processor', parts: partsCores, least: 0.5, top: () => store.state ? store.state.server.cores : 1, series: [
    {name: 'cpu', label: 'cores', colour: 'c1', area: true}]},
  {title: 'Network', parts: partsByteRate, base: 1024, least: 10240, series: [
    {name: 'sent', label: 'sent', colour: 'c1', area: true}, {name: 'received', label: 'received', colour: 'c2'}]},
  {title: 'Log written', parts: partsByteRate, base: 1024, least: 10240, series: [
    {name: 'log_written', label: 'written', colour: 'c3', area: true}]},
];

/* ---- The view ---- */

const overview = {
  title: 'Overview',
  polls: ['history', 'collections', 'operations'],

  mount() {
    this.standing = h('div');
    this.notices = h('div', {class: 'notices'});
    this.clock = h('span', {class: 'clock', 'aria-hidden': 'true'});
    this.running = h('div');
    this.table = collectionTable({n: true});
    this.tableSheet = h('section', {class: 'sheet'});
    this.plots = PLOTS.map((spec) => new Plot(spec));
    timeline.plots = new Set(this.plots);
    timeline.onDraw = () => this.showClock();
    const range = segments('Time shown', [[1, '1 min'], [5, '5 min'], [15, '15 min']], timeline.minutes, (minutes) => {
      timeline.minutes = minutes;
      timeline.draw();
    });
    return h('div', {class: 'view'},
      h('div', {class: 'stack'},
        h('div', {class: 'head'}, h('h1', {hidden: true}, 'Overview'), this.standing, h('div', {class: 'end'}, this.clock, range)),
        this.notices),
      h('div', {class: 'plots'}, this.plots.map((plot) => plot.el)),
      this.running,
      this.tableSheet);
  },

  unmount() {
    timeline.plots = new Set();
    timeline.onDraw = () => {};
  },

  showClock() {
    const t = timeline.end - (timeline.hover === null ? 0 : (1 - timeline.hover) * timeline.minutes * 60000);
    setText(this.clock, timeline.end === 0 ? '' : fmtClock(t));
  },

  update(what) {
    if (what === 'history' || what === 'all' || what === 'theme') {
      const t = store.history.t;
      timeline.end = t.length > 0 ? t[t.length - 1] : 0;
      timeline.draw();
    }
    if (!store.state || what === 'history') {
      return;
    }
    this.standing.replaceChildren(standing());
    this.notices.replaceChildren(...noticesOf().map(([kind, text]) => h('p', {class: 'notice ' + kind}, dot(kind), text)));
    if (store.collections && (what === 'collections' || what === 'all')) {
      this.showCollections();
    }
    if (store.operations && (what === 'operations' || what === 'all')) {
      const running = store.operations.filter((o) => o.state === 'running' || o.state === 'queued');
      this.running.hidden = running.length === 0;
      this.running.replaceChildren(sheet('Running', operationList(running)));
    }
  },

  showCollections() {
    const largest = [...store.collections].sort((a, b) => b.stats.items - a.stats.items).slice(0, 10);
    if (largest.length === 0) {
      this.tableSheet.replaceChildren(empty('No collections yet', 'Make one with: omen create docs --dim 768 --metric cosine'));
      return;
    }
    if (!this.table.el.isConnected) {
      this.tableSheet.replaceChildren(
        h('div', {class: 'sheet-head'}, h('h2', null, 'Collections'), h('a', {class: 'end link', href: '#/collections'}, 'All collections')),
        this.table.el);
    }
    this.table.update(largest);
  },
};

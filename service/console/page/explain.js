/* explain.js - what a search tells about itself: where its time went, and how many items each step left.
 * SPDX-License-Identifier: Apache-2.0 */
'use strict';

const STAGES = {
  filter: ['Filter', 'c3'],
  entry: ['Entry points', 'c5'],
  graph: ['Graph walk', 'c1'],
  scan: ['Scan', 'c2'],
  rerank: ['Full precision', 'c4'],
  text: ['Words', 'c3'],
  fuse: ['Fusion', 'c2'],
  other: ['Rest of the engine', 'c5'],
  fetch: ['Ids, metadata', 'c5'],
};

/* A waterfall: each stage begins where the one before ended. */
function stagesPlot(explain) {
  const total = Math.max(1, explain.stages.reduce((sum, stage) => sum + stage.ns, 0));
  let at = 0;
  return h('div', {class: 'stages'}, explain.stages.map((stage) => {
    const [name, colour] = STAGES[stage.name] || [stage.name, 'c5'];
    const bar = h('i');
    bar.style.left = at / total * 100 + '%';
    bar.style.width = stage.ns / total * 100 + '%';
    at += stage.ns;
    return [h('span', {class: 'soft'}, name), h('span', {class: 'lane k' + colour.slice(1)}, bar),
      h('span', {class: 't'}, fmtNs(stage.ns)), h('span', {class: 't faint'}, (stage.ns / total * 100).toFixed(0) + ' %')];
  }));
}

/* How many items were left after each step, on a logarithmic scale: each line is ten times less than it looks. */
function funnelPlot(explain, items, hits) {
  const steps = [['in the collection', items]];
  if (explain.matches !== null && explain.selectivity !== null && (explain.selectivity < 1 || explain.plan.startsWith('filter'))) {
    steps.push(['pass the filter', explain.matches]);
  }
  if (explain.postings > 0) {
    steps.push(['postings read', explain.postings], ['scored', explain.candidates]);
  }
  if (explain.scanned > 0) {
    steps.push(['scanned', explain.scanned]);
  }
  if (explain.distances > 0) {
    steps.push(['distances computed', explain.distances]);
  }
  if (explain.reranked > 0) {
    steps.push(['in full precision', explain.reranked]);
  }
  steps.push(['found', hits]);
  const most = Math.log10(Math.max(10, ...steps.map(([, count]) => count)) + 1);
  return h('div', {class: 'funnel'}, steps.map(([name, count]) => {
    const bar = h('i');
    bar.style.width = Math.log10(count + 1) / most * 100 + '%';
    return [h('span', {class: 'soft'}, name), h('span', {class: 'lane'}, bar), h('span', {class: 't'}, fmtInt(count))];
  }));
}

function explainSheet(answer, items, roundTrip) {
  const e = answer.explain;
  const pairs = [['ef', e.ef], ['hops', e.hops], ['tests', e.tests]].filter(([, value]) => value > 0);
  const share = e.selectivity !== null && e.matches !== null && e.selectivity < 1
    ? h('span', null, 'selectivity', h('b', null, fmtShare(e.selectivity)), ' guessed', h('b', null, fmtShare(e.estimated))) : null;
  return h('section', {class: 'sheet'},
    h('div', {class: 'sheet-head'}, h('h2', null, 'Plan: ' + e.plan), h('span', {class: 'soft'}, PLANS[e.plan] || ''),
      h('span', {class: 'end soft num'}, fmtNs(e.engine_ns) + ' in the engine, ' + fmtNs(e.total_ns) + ' in all, ' + fmtNs(roundTrip * 1e6) + ' from here')),
    h('div', {class: 'pad stack'},
      h('div', {class: 'halves'},
        h('div', {class: 'stack tight'}, h('h3', null, 'Where the time went'), stagesPlot(e)),
        h('div', {class: 'stack tight'}, h('h3', null, 'From all items to these'), funnelPlot(e, items, answer.hits.length))),
      h('div', {class: 'pairs'}, pairs.map(([name, value]) => h('span', null, name, h('b', null, fmtInt(value)))), share,
        h('span', null, 'version', h('b', null, answer.version)),
        answer.partial ? h('span', {class: 'warn'}, 'cut by its deadline') : null)));
}

/* Where a message names a byte of the filter, that byte is shown. */
function faultBox(error, filter) {
  const place = filter ? /at byte (\d+)/.exec(error.message) || /byte (\d+)/.exec(error.message) : null;
  const box = h('div', {class: 'fault', role: 'alert'}, h('b', null, error.reason || error.code || 'Failed'), error.message);
  if (place) {
    const bytes = new TextEncoder().encode(filter);
    const at = Math.min(Number(place[1]), bytes.length);
    const text = (from, to) => new TextDecoder().decode(bytes.slice(from, to));
    let end = at;
    while (end < bytes.length && !/[\s(),]/.test(String.fromCharCode(bytes[end]))) {
      end++;
    }
    box.append(h('pre', null, text(0, at), h('mark', null, end > at ? text(at, end) : ' '), text(end, bytes.length)));
  }
  return box;
}

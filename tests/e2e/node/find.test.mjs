// find.test.mjs - metadata, filters, text and hybrid search with @grpc/grpc-js.
// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';

import { batch, column, deadline, Omend, range, Reader, rejects, unary, vectorsOf } from './harness.mjs';

const DIM = 8;
const ROWS = 500;
const vectors = vectorsOf(1, ROWS, DIM);
const rows = range(0, ROWS).map((i) => ({
  n: i % 40, even: i % 2 === 0, tag: `t${i % 5}`, words: `common word${i % 25}` }));
let server;
let items;
let collections;

const json = (list) => ({ json: list.map((row) => Buffer.from(JSON.stringify(row))) });
const parsed = (metadata) => metadata.json.map((bytes) => JSON.parse(bytes.toString()));
const leg = (row, more = {}) => ({ vector: {
  vector: column(vectors.subarray(row * DIM, (row + 1) * DIM), DIM), exact: true, ...more } });
const find = (legs, more = {}) => unary(items, 'Search', { collection: 'films', legs, ...more });
const write = (more, request = {}) => unary(items, 'BatchWrite',
  { collection: 'films', batch: more, ...request });

function ordered(row, passes) {
  const all = range(0, ROWS).filter((i) => passes(rows[i])).map((i) => {
    let sum = 0;
    for (let k = 0; k < DIM; k += 1) {
      sum += (vectors[i * DIM + k] - vectors[row * DIM + k]) ** 2;
    }
    return [sum, i];
  });
  return all.sort((a, b) => a[0] - b[0] || a[1] - b[1]).map(([, i]) => i);
}

before(async () => {
  server = await Omend.start({ after() {} }); // the hook below ends it
  items = server.client('omen.v1.Items');
  collections = server.client('omen.v1.Collections');
  const made = await unary(collections, 'CreateCollection', { name: 'films', config: {
    dim: DIM, fields: [{ name: 'words', type: 'FIELD_TYPE_TEXT', no_stemming: true }] } });
  assert.deepEqual(made.config.fields.map((f) => [f.name, f.type]), [['words', 'FIELD_TYPE_TEXT']]);
  const first = batch(0, range(0, ROWS), vectors, DIM);
  first.items.metadata = json(rows);
  assert.equal((await write(first)).applied, ROWS);
});

after(async () => {
  [items, collections].forEach((client) => client.close());
  await server.stop();
});

test('filters with parameters equal a loop', async () => {
  const cases = [
    ['n < $1', [{ int_value: 7 }], (r) => r.n < 7],
    ['tag IN $1 AND even', [{ strings: { values: ['t1', 't3'] } }],
      (r) => ['t1', 't3'].includes(r.tag) && r.even],
    ['NOT (n >= 2 OR even)', [], (r) => !(r.n >= 2 || r.even)],
    ['n = $1', [{ double_value: 3 }], (r) => r.n === 3],
  ];
  for (const [filter, params, passes] of cases) {
    const want = ordered(17, passes);
    const got = await find([leg(17)], { filter, params, limit: 10, with_metadata: true, explain: 1 });
    assert.deepEqual(got.ids.u64, want.slice(0, 10), filter);
    assert.deepEqual(parsed(got.metadata), got.ids.u64.map((i) => rows[i]));
    assert.equal(got.explain.matches, want.length);
    const { count } = await unary(items, 'Count', { collection: 'films', filter, params });
    assert.equal(count, want.length);
  }
});

test('what is wrong with a filter is told with its place', async () => {
  const told = await rejects(find([leg(1)], { filter: 'n < AND' }), 'INVALID_ARGUMENT', 'FILTER_SYNTAX');
  assert.equal(told.field, 'filter');
  assert.match(told.text, /\b4\b/);
  await rejects(find([leg(1)], { filter: 'absent = 1' }), 'INVALID_ARGUMENT', 'FIELD');
  await rejects(find([leg(1)], { filter: "n = 'x'" }), 'INVALID_ARGUMENT', 'TYPE');
});

test('text, hybrid, groups and facets', async () => {
  const text = { text: { text: 'word3' } };
  const words = await find([text], { limit: 100 });
  assert.deepEqual([...words.ids.u64].sort((a, b) => a - b), range(0, ROWS).filter((i) => i % 25 === 3));
  assert.equal(words.distances.length, 0);
  assert.equal(words.scores.length, words.ids.u64.length);
  const both = await find([leg(3), text], { limit: 1, explain: 1 });
  assert.deepEqual([both.ids.u64[0], both.explain.plan], [3, 'hybrid']);
  const groups = await find([leg(3)], { limit: 4, group_by: 'tag', fields: ['tag'] });
  assert.deepEqual(groups.groups, [0, 1, 2, 3]);
  assert.equal(new Set(parsed(groups.metadata).map((r) => r.tag)).size, 4);
  const { facets: [tags] } = await find([leg(3)], { filter: 'even', facets: [{ field: 'tag', limit: 3 }] });
  assert.deepEqual([tags.values, tags.counts], [['"t0"', '"t1"', '"t2"'], [50, 50, 50]]);
});

test('several searches with filters in one call', async () => {
  const searches = range(0, 10).map((i) => (
    { collection: 'films', legs: [leg(i)], limit: 3, filter: `n = ${i}`, fields: ['n'] }));
  const answers = await new Reader(items.BatchSearch({ searches }, deadline())).rest();
  for (const { index, result } of answers) {
    assert.deepEqual(parsed(result.metadata), [{ n: index }, { n: index }, { n: index }]);
  }
});

test('patches, versions and deletes by filter', async () => {
  const ids = { u64: [0, 1] };
  const get = () => unary(items, 'BatchGet',
    { collection: 'films', ids, with_metadata: true, with_versions: true });
  const seen = await get();
  const op = 'WRITE_OP_PATCH';
  const told = await write({ op, if_version: seen.items.versions,
    items: { ids, metadata: json([{ n: null, extra: 'x' }, { n: 99 }]) } });
  const now = await get();
  assert.deepEqual(now.items.versions, [told.version, told.version]);
  assert.deepEqual(parsed(now.items.metadata).map((r) => [r.n, r.extra]), [[undefined, 'x'], [99, undefined]]);
  await rejects(write({ op, if_version: seen.items.versions,
    items: { ids, metadata: json([{}, {}]) } }), 'ABORTED', 'VERSION_CONFLICT');
  const gone = await write({ op: 'WRITE_OP_DELETE', delete_filter: 'n = $1', params: [{ int_value: 99 }] });
  assert.equal(gone.applied, 1);
  assert.deepEqual((await get()).missing, [1]);
});

test('pages in order', async () => {
  const found = [];
  let token = '';
  do {
    const page = await unary(items, 'List', { collection: 'films', page_size: 30, page_token: token,
      filter: "tag != 't4'", order_by: 'n', descending: true, fields: ['n'] });
    found.push(...parsed(page.items.metadata).map((r) => r.n));
    token = page.next_page_token;
  } while (token);
  const known = found.filter((n) => n !== undefined);
  assert.deepEqual(known, [...known].sort((a, b) => b - a));
  assert.ok(found.length > 300);
});

test('declared fields', async () => {
  const declare = (fields) => unary(collections, 'DeclareFields', { name: 'films', fields });
  const made = await declare([{ name: 'place', type: 'FIELD_TYPE_GEO' }]);
  assert.ok(made.config.fields.some((f) => f.name === 'place'));
  await rejects(declare([{ name: 'place', type: 'FIELD_TYPE_TIME' }]), 'ALREADY_EXISTS', 'FIELD');
});

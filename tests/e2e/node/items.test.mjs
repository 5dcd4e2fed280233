// items.test.mjs - collections, batches and searches with @grpc/grpc-js.
// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';

import { batch, deadline, grpc, Omend, poll, range, Reader, rejects, search, unary, vectorsOf }
  from './harness.mjs';

const DIM = 16;
const ROWS = 2000;
let server;
let items;
let collections;
let maintenance;

before(async () => {
  server = await Omend.start({ after() {} }); // the hook below ends it
  items = server.client('omen.v1.Items');
  collections = server.client('omen.v1.Collections');
  maintenance = server.client('omen.v1.Maintenance');
});

after(async () => {
  [items, collections, maintenance].forEach((client) => client.close());
  await server.stop();
});

function create(name, config = {}) {
  return unary(collections, 'CreateCollection', { name, config: { dim: DIM, ...config } });
}

// Squared distances in double precision, nearest first.
function nearest(vectors, query, limit) {
  const all = range(0, vectors.length / query.length).map((row) => {
    let sum = 0;
    for (let i = 0; i < query.length; i += 1) {
      sum += (vectors[row * query.length + i] - query[i]) ** 2;
    }
    return [sum, row];
  });
  return all.sort((a, b) => a[0] - b[0] || a[1] - b[1]).slice(0, limit);
}

test('collections', async () => {
  const made = await create('life', { metric: 'METRIC_COSINE' });
  assert.equal(made.config.metric, 'METRIC_COSINE');
  await rejects(create('life'), 'ALREADY_EXISTS');
  for (const name of ['', 'Upper', 'a b', 'x'.repeat(64)]) {
    await rejects(create(name), 'INVALID_ARGUMENT', 'NAME');
  }
  const listed = await unary(collections, 'ListCollections', {});
  assert.ok(listed.collections.some((c) => c.name === 'life'));
  await unary(collections, 'DeleteCollection', { name: 'life' });
  await rejects(unary(collections, 'GetCollection', { name: 'life' }), 'NOT_FOUND');
});

test('search equals brute force', async () => {
  await create('search');
  const vectors = vectorsOf(1, ROWS, DIM);
  const written = await unary(items, 'BatchWrite',
    { collection: 'search', request_id: 'r1', batch: batch(0, range(0, ROWS), vectors, DIM) });
  assert.equal(written.applied, ROWS);
  const again = await unary(items, 'BatchWrite',
    { collection: 'search', request_id: 'r1', batch: batch(0, range(0, ROWS), vectors, DIM) });
  assert.deepEqual([again.replayed, again.version], [true, written.version]);
  let found = 0;
  for (let q = 0; q < 50; q += 1) {
    const query = vectorsOf(100 + q, 1, DIM);
    const truth = nearest(vectors, query, 10);
    const exact = await unary(items, 'Search', search('search', query, 10, { exact: true }));
    assert.deepEqual(exact.ids.u64, truth.map(([, row]) => row));
    exact.distances.forEach((d, i) => assert.ok(Math.abs(d - truth[i][0]) < 1e-4));
    const fast = await unary(items, 'Search', search('search', query, 10));
    found += fast.ids.u64.filter((id) => truth.some(([, row]) => row === id)).length;
  }
  assert.ok(found / 500 >= 0.95, `recall ${found / 500}`);
});

test('several searches in one call', async () => {
  const searches = range(0, 20).map((i) => search(i === 7 ? 'absent' : 'search', vectorsOf(i, 1, DIM), 3));
  const answers = await new Reader(items.BatchSearch({ searches }, deadline())).rest();
  assert.deepEqual(answers.map((a) => a.index).sort((a, b) => a - b), range(0, 20));
  for (const answer of answers) {
    assert.equal(answer.code, answer.index === 7 ? grpc.status.NOT_FOUND : 0);
  }
});

test('what is refused says why', async () => {
  const query = vectorsOf(1, 1, DIM);
  const told = await rejects(unary(items, 'Search', search('search', vectorsOf(1, 1, 3))),
    'INVALID_ARGUMENT', 'DIM_MISMATCH');
  assert.match(told.field, /dim$/);
  await rejects(unary(items, 'Search', search('absent', query)), 'NOT_FOUND');
  await rejects(unary(items, 'Search', search('search', query, 16385)), 'INVALID_ARGUMENT', 'LIMIT');
  query[5] = NaN;
  await rejects(unary(items, 'Search', search('search', query)), 'INVALID_ARGUMENT', 'NOT_FINITE');
});

test('ids of all types', async () => {
  const vectors = vectorsOf(3, 2, DIM);
  const uuid = Buffer.from(range(0, 32));
  for (const [name, type, ids, one] of [
    ['u64', 'ID_TYPE_U64', { u64: [1, 2] }, { u64: [2] }],
    ['uuid', 'ID_TYPE_UUID', { uuid }, { uuid: uuid.subarray(16) }],
    ['str', 'ID_TYPE_STRING', { str: ['one', 'zwei'] }, { str: ['zwei'] }],
  ]) {
    await create(`ids-${name}`, { id_type: type });
    const items_ = { ids, vectors: batch(0, [], vectors, DIM).items.vectors };
    await unary(items, 'BatchWrite', { collection: `ids-${name}`, batch: { items: items_ } });
    const got = await unary(items, 'BatchGet',
      { collection: `ids-${name}`, ids: one, with_vectors: true });
    const wanted = Buffer.from(vectors.buffer).subarray(DIM * 4);
    assert.ok(Buffer.compare(got.items.vectors.data, wanted) === 0);
    assert.equal((await unary(items, 'Count', { collection: `ids-${name}` })).count, 2);
  }
});

test('cancel and deadline', async () => {
  await create('long', { dim: 256 });
  for (let at = 0; at < 30000; at += 10000) {
    await unary(items, 'BatchWrite',
      { collection: 'long', batch: batch(0, range(at, at + 10000), vectorsOf(at, 10000, 256), 256) });
  }
  const request = { collection: 'long', samples: 10000 };
  await rejects(unary(maintenance, 'MeasureRecall', request, { deadline: Date.now() + 300 }),
    'DEADLINE_EXCEEDED');
  // grpc-js forgets to cancel a call that it has not sent yet, so this one is first seen to run.
  const running = async () => {
    const page = await (await fetch(`http://${server.admin}/metrics`)).text();
    return Number(/^omendb_grpc_server_inflight\{[^}]*"MeasureRecall"\} (\d+)$/m.exec(page)[1]);
  };
  await poll('the expired call is over', async () => await running() === 0);
  const end = new Promise((done) => {
    const call = maintenance.MeasureRecall(request, deadline(), (error) => done(error));
    poll('the call runs', async () => await running() === 1).then(() => call.cancel());
  });
  assert.equal((await end).code, grpc.status.CANCELLED);
  await poll('the cancelled call is over', async () => await running() === 0);
  assert.equal((await unary(items, 'Count', { collection: 'long' })).count, 30000);
});

test('raw bytes', async () => {
  const plain = (bytes) => bytes;
  const call = (path, bytes) => new Promise((done, fail) => {
    items.makeUnaryRequest(path, plain, plain, bytes, new grpc.Metadata(), deadline(),
      (error, answer) => (error ? fail(error) : done(answer)));
  });
  for (const bytes of [[0x0a], [0x0a, 0x05, 0x61], [0x0b], [0xff, 0xff, 0xff]]) {
    for (const method of ['Search', 'BatchWrite', 'Count']) {
      await rejects(call(`/omen.v1.Items/${method}`, Buffer.from(bytes)), 'INVALID_ARGUMENT');
    }
  }
  await rejects(call('/omen.v1.Items/Absent', Buffer.alloc(0)), 'UNIMPLEMENTED');
  await rejects(call('/omen.v1.Items/BatchWrite', Buffer.alloc(16 * 1024 * 1024 + 1)),
    'RESOURCE_EXHAUSTED');
  assert.equal((await unary(maintenance, 'GetServerInfo', {})).limits.max_dim, 65535);
});

test('health and reflection', async () => {
  const health = server.client('grpc.health.v1.Health');
  assert.equal((await unary(health, 'Check', { service: 'omen.v1.Items' })).status, 'SERVING');
  await rejects(unary(health, 'Check', { service: 'absent' }), 'NOT_FOUND');
  const watch = health.Watch({}, deadline());
  assert.equal((await new Reader(watch).next()).status, 'SERVING');
  watch.on('error', () => {});
  watch.cancel();
  health.close();
  for (const version of ['v1', 'v1alpha']) {
    const client = server.client(`grpc.reflection.${version}.ServerReflection`);
    const stream = client.ServerReflectionInfo(deadline());
    const reader = new Reader(stream);
    stream.write({ list_services: '' });
    const listed = (await reader.next()).list_services_response.service.map((s) => s.name);
    assert.ok(listed.includes('omen.v1.Items') && listed.includes('omen.v1.Collections'), `${listed}`);
    stream.write({ file_containing_symbol: 'omen.v1.SearchRequest' });
    const answer = await reader.next();
    assert.ok(answer.file_descriptor_response.file_descriptor_proto.length > 0);
    stream.write({ file_containing_symbol: 'absent' });
    assert.equal((await reader.next()).error_response.error_code, grpc.status.NOT_FOUND);
    stream.end();
    assert.deepEqual(await reader.rest(), []);
    client.close();
  }
});

// stream.test.mjs - StreamWrite with @grpc/grpc-js: plain text and mTLS, windows, resuming, draining.
// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { after, test } from 'node:test';

import { batch, deadline, failure, grpc, Omend, range, Reader, rejects, search, unary, vectorsOf }
  from './harness.mjs';

const DIM = 32;
const ROWS = 250;
const folder = mkdtempSync(path.join(process.env.OMEN_E2E_WORK, 'node-'));

after(() => rmSync(folder, { recursive: true }));

function batchOf(seq) {
  return { batch: batch(seq, range((seq - 1) * ROWS, seq * ROWS), vectorsOf(seq, ROWS, DIM), DIM) };
}

async function create(server, credentials, address) {
  const client = server.client('omen.v1.Collections', credentials, address);
  await unary(client, 'CreateCollection', { name: 'c', config: { dim: DIM } });
  client.close();
}

async function open(items, streamId = 'feed') {
  const call = items.StreamWrite(deadline());
  const reader = new Reader(call);
  call.write({ open: { collection: 'c', stream_id: streamId } });
  return { call, reader, opened: await reader.expect('opened') };
}

async function count(items) {
  return (await unary(items, 'Count', { collection: 'c' })).count;
}

// Sends within the window that the server has given, as a client should.
async function sendWithinWindow({ call, reader, opened }, from, to) {
  let window = opened.window_bytes;
  const unacked = new Map();
  const bytes = () => [...unacked.values()].reduce((sum, size) => sum + size, 0);
  for (let seq = from; seq <= to; seq += 1) {
    const size = ROWS * (8 + DIM * 4) + 64;
    while (unacked.size > 0 && bytes() + size > window) {
      const message = await reader.next();
      if (message.message === 'ack') {
        [...unacked.keys()].filter((s) => s <= message.ack.durable_seq).forEach((s) => unacked.delete(s));
      } else {
        assert.equal(message.message, 'window');
        window = message.window.window_bytes;
      }
    }
    unacked.set(seq, size);
    call.write(batchOf(seq));
  }
}

test('stream, cut, resume', async (t) => {
  const server = await Omend.start(t, '--stream-window-bytes=65536', '--max-message-bytes=65536');
  await create(server);
  const items = server.client('omen.v1.Items');
  const first = await open(items);
  assert.equal(first.opened.last_seq, 0);
  await sendWithinWindow(first, 1, 30);
  first.call.cancel();
  await assert.rejects(first.reader.rest(), (error) => error.code === grpc.status.CANCELLED);

  const second = await open(items);
  const last = second.opened.last_seq;
  assert.ok(last >= 1, `something was acknowledged, so it is kept: ${last}`);
  second.call.write(batchOf(last)); // a replay
  await sendWithinWindow(second, last + 1, 40);
  second.call.write({ flush: {} });
  second.call.write({ close: {} });
  const acks = (await second.reader.rest()).filter((m) => m.message === 'ack').map((m) => m.ack);
  assert.equal(acks.at(-1).durable_seq, 40);
  assert.equal(acks.at(-1).indexed_items, 40 * ROWS);
  assert.equal(await count(items), 40 * ROWS);

  const vector = vectorsOf(40, ROWS, DIM).subarray(0, DIM);
  const found = await unary(items, 'Search', search('c', vector, 1));
  assert.deepEqual([found.ids.u64[0], found.distances[0]], [39 * ROWS, 0]);
  items.close();
  await server.stop();
});

test('errors and ends of a stream', async (t) => {
  const server = await Omend.start(t);
  await create(server);
  const items = server.client('omen.v1.Items');
  const bad = await open(items);
  bad.call.write(batchOf(1));
  const nan = batchOf(2);
  nan.batch.items.vectors.data = Buffer.from(nan.batch.items.vectors.data);
  nan.batch.items.vectors.data.writeFloatLE(NaN, DIM * 4 * 3);
  bad.call.write(nan);
  bad.call.write(batchOf(3));
  let error;
  for (let acked = 0; acked < 3 || !error;) {
    const message = await bad.reader.next();
    if (message.message === 'error') {
      error = message.error;
    } else if (message.message === 'ack') {
      acked = message.ack.durable_seq;
    }
  }
  assert.deepEqual([error.seq, error.code, error.reason], [2, 3, 'NOT_FINITE']);
  bad.call.end(); // half-close without Close
  await bad.reader.rest();
  assert.equal(await count(items), 2 * ROWS);

  const gap = await open(items);
  gap.call.write(batchOf(9));
  await assert.rejects(gap.reader.rest(), (e) => failure(e).reason === 'SEQUENCE');
  const large = await open(items);
  large.call.write({ batch: batch(4, range(0, 140000), vectorsOf(1, 140000, DIM), DIM) });
  await assert.rejects(large.reader.rest(), (e) => e.code === grpc.status.RESOURCE_EXHAUSTED);
  const absent = items.StreamWrite(deadline());
  absent.write({ open: { collection: 'absent' } });
  await rejects(new Reader(absent).rest(), 'NOT_FOUND');
  items.close();
  await server.stop();
});

test('SIGTERM drains', async (t) => {
  const server = await Omend.start(t, '--grace-ms=30000');
  await create(server);
  const items = server.client('omen.v1.Items');
  const stream = await open(items);
  for (let seq = 1; seq <= 20; seq += 1) {
    stream.call.write(batchOf(seq));
  }
  await stream.reader.ack(5);
  server.terminate();
  const kinds = [];
  let acked = 5;
  const end = await (async () => {
    for (;;) {
      const message = await stream.reader.next();
      kinds.push(message.message);
      acked = Math.max(acked, message.ack?.durable_seq ?? 0);
    }
  })().catch((error) => error);
  assert.equal(end.code, grpc.status.UNAVAILABLE, `${end}`);
  assert.ok(kinds.includes('draining'), `${kinds}`);
  items.close();
  assert.equal(await server.exit, 0, server.log);
});

function openssl(...options) {
  execFileSync('openssl', options, { cwd: folder, stdio: ['ignore', 'ignore', 'pipe'] });
}

// An authority, and a certificate for the server and one for the client.
function makeCertificates() {
  const key = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes'];
  openssl('req', '-x509', ...key, '-keyout', 'ca.key', '-out', 'ca.pem', '-days', '2', '-subj', '/CN=ca');
  for (const [name, extension] of [['server', 'subjectAltName=DNS:localhost'], ['client', 'subjectAltName=DNS:c']]) {
    openssl('req', ...key, '-keyout', `${name}.key`, '-out', `${name}.csr`, '-subj', `/CN=${name}`);
    writeFileSync(path.join(folder, `${name}.ext`), extension);
    openssl('x509', '-req', '-in', `${name}.csr`, '-CA', 'ca.pem', '-CAkey', 'ca.key', '-CAcreateserial',
      '-out', `${name}.pem`, '-days', '2', '-extfile', `${name}.ext`);
  }
  return (name) => path.join(folder, name);
}

test('mTLS', async (t) => {
  const file = makeCertificates();
  const server = await Omend.start(t, `--tls-cert=${file('server.pem')}`, `--tls-key=${file('server.key')}`,
    `--tls-client-ca=${file('ca.pem')}`);
  const address = `localhost:${server.address.split(':').pop()}`;
  const read = (name) => readFileSync(file(name));
  const known = grpc.credentials.createSsl(read('ca.pem'), read('client.key'), read('client.pem'));
  await create(server, known, address);
  const items = server.client('omen.v1.Items', known, address);
  const stream = await open(items);
  await sendWithinWindow(stream, 1, 10);
  stream.call.write({ close: {} });
  await stream.reader.rest();
  assert.equal(await count(items), 10 * ROWS);
  items.close();
  for (const credentials of [grpc.credentials.createSsl(read('ca.pem')), grpc.credentials.createInsecure()]) {
    const stranger = server.client('omen.v1.Items', credentials, address);
    await rejects(unary(stranger, 'Count', { collection: 'c' }), 'UNAVAILABLE');
    stranger.close();
  }
  await server.stop();
});

// harness.mjs - a running omend and clients made from the .proto files by @grpc/proto-loader.
//
// OMEND is the program, OMEN_E2E_API the folder of the .proto files, OMEN_E2E_WORK a folder to write to,
// OMEN_E2E_MODULES the folder with node_modules.
// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import { createRequire } from 'node:module';
import path from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';

const require = createRequire(path.join(process.env.OMEN_E2E_MODULES, 'package.json'));
export const grpc = require('@grpc/grpc-js');
const loader = require('@grpc/proto-loader');
const protobuf = createRequire(require.resolve('@grpc/proto-loader'))('protobufjs');

// Nothing here takes this long; it only ends a test that would hang.
export const PATIENCE_MS = 60000;
const api = process.env.OMEN_E2E_API;
const files = ['omen/v1/collections.proto', 'omen/v1/items.proto', 'omen/v1/maintenance.proto',
  'grpc/health/v1/health.proto', 'grpc/reflection/v1/reflection.proto',
  'grpc/reflection/v1alpha/reflection.proto'];
const definition = loader.loadSync(files.map((file) => path.join(api, file)),
  { keepCase: true, includeDirs: [api], longs: Number, enums: String, defaults: true, oneofs: true });
export const root = grpc.loadPackageDefinition(definition);

export function deadline() {
  return { deadline: Date.now() + PATIENCE_MS };
}

// Waits until the condition gives something true, and returns it.
export async function poll(what, condition) {
  for (const end = Date.now() + PATIENCE_MS; Date.now() < end; await pause(10)) {
    const found = await condition();
    if (found) {
      return found;
    }
  }
  return assert.fail(`never happened: ${what}`);
}

// A server on ports of the kernel's choice. It dies with its test (`context`), whatever happens.
export class Omend {
  static async start(context, ...options) {
    const server = new Omend();
    const hasSetpriv = spawnSync('setpriv', ['--version']).status === 0;
    const command = [...(hasSetpriv ? ['setpriv', '--pdeathsig', 'KILL'] : []), process.env.OMEND,
      '--listen=127.0.0.1:0', '--admin-listen=127.0.0.1:0', ...options];
    server.process = spawn(command[0], command.slice(1), { stdio: ['ignore', 'pipe', 'pipe'] });
    server.log = '';
    server.process.stderr.on('data', (data) => { server.log += data; });
    server.exit = new Promise((done) => { server.process.on('exit', (code) => done(code)); });
    context.after(() => server.process.kill('SIGKILL'));
    let said = '';
    server.process.stdout.on('data', (data) => { said += data; });
    const match = await poll('omend serves', () => /grpc=(\S+) admin=(\S+)/.exec(said));
    [, server.address, server.admin] = match;
    return server;
  }

  // A client of its own connection. service: "omen.v1.Items".
  client(service, credentials = grpc.credentials.createInsecure(), address = this.address) {
    const Service = service.split('.').reduce((at, name) => at[name], root);
    const options = { 'grpc.max_receive_message_length': -1, 'grpc.max_send_message_length': -1,
      'grpc.enable_retries': 0, 'grpc.use_local_subchannel_pool': 1 };
    return new Service(address, credentials, options);
  }

  terminate() {
    this.process.kill('SIGTERM');
  }

  // A clean end, which every test demands of its server.
  async stop() {
    this.terminate();
    assert.equal(await this.exit, 0, this.log);
  }
}

// A unary call as a promise. Rejects with the ServiceError.
export function unary(client, method, request, options = deadline()) {
  return new Promise((done, fail) => {
    client[method](request, options, (error, answer) => (error ? fail(error) : done(answer)));
  });
}

// The messages of a stream, one by one. An error of the call is thrown by the read that meets it.
export class Reader {
  constructor(call) {
    this.items = [];
    this.waiting = null;
    const put = (item) => {
      this.items.push(item);
      this.waiting?.();
    };
    call.on('data', (message) => put({ message }));
    call.on('error', (error) => put({ error }));
    call.on('end', () => put({ end: true }));
  }

  // The next message; undefined at the end.
  async next() {
    while (this.items.length === 0) {
      await new Promise((done) => { this.waiting = done; });
    }
    const [{ message, error, end }] = this.items;
    if (error) {
      throw error;
    }
    if (!end) {
      this.items.shift();
      return message;
    }
    // grpc-js tells "end" also before "error": the status decides.
    await pause(0);
    const failed = this.items.find((item) => item.error);
    if (failed) {
      throw failed.error;
    }
    return undefined;
  }

  async rest() {
    const messages = [];
    for (let m = await this.next(); m !== undefined; m = await this.next()) {
      messages.push(m);
    }
    return messages;
  }

  // The next message of a kind; windows are passed over, others are an error.
  async expect(kind) {
    for (;;) {
      const message = await this.next();
      assert.ok(message, `${kind} expected, the stream ended`);
      if (message.message === kind) {
        return message[kind];
      }
      assert.equal(message.message, 'window', `${kind} expected`);
    }
  }

  async ack(seq) {
    for (;;) {
      const ack = await this.expect('ack');
      if (ack.durable_seq >= seq) {
        return ack;
      }
    }
  }
}

const details = protobuf.parse(`syntax = "proto3"; package google.rpc;
  message Any { string type_url = 1; bytes value = 2; }
  message Status { int32 code = 1; string message = 2; repeated Any details = 3; }
  message ErrorInfo { string reason = 1; string domain = 2; map<string, string> metadata = 3; }
  message BadRequest { message FieldViolation { string field = 1; string description = 2; }
    repeated FieldViolation field_violations = 1; }`).root;

// Code, reason, domain and field of a ServiceError, decoded from google.rpc.Status.
export function failure(error) {
  const [bytes] = error.metadata?.get('grpc-status-details-bin') ?? [];
  const out = { code: grpc.status[error.code], text: error.details };
  if (!bytes) {
    return out;
  }
  const status = details.lookupType('google.rpc.Status').decode(bytes);
  assert.equal(status.code, error.code);
  for (const { type_url: url, typeUrl, value } of status.details) {
    const name = (url ?? typeUrl).split('/').pop();
    const detail = details.lookup(name)?.decode(value);
    if (name === 'google.rpc.ErrorInfo') {
      Object.assign(out, { reason: detail.reason, domain: detail.domain });
    } else if (name === 'google.rpc.BadRequest') {
      const [violation] = detail.fieldViolations ?? detail.field_violations;
      out.field = violation.field;
    }
  }
  return out;
}

export async function rejects(promise, code, reason) {
  const error = await promise.then(() => assert.fail(`${code} expected, the call went well`), (e) => e);
  const told = failure(error);
  assert.equal(told.code, code, `${error}`);
  if (reason) {
    assert.deepEqual([told.reason, told.domain], [reason, 'omendb'], `${error}`);
  }
  return told;
}

// Numbers that look random and are the same every time (a linear congruential generator).
export function vectorsOf(seed, count, dim) {
  const out = new Float32Array(count * dim);
  let state = seed * 2654435761 >>> 0;
  for (let i = 0; i < out.length; i += 1) {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    out[i] = state / 2 ** 31 - 1;
  }
  return out;
}

export function column(vectors, dim) {
  return { type: 'DATA_TYPE_F32', dim,
    data: Buffer.from(vectors.buffer, vectors.byteOffset, vectors.byteLength) };
}

export function batch(seq, ids, vectors, dim, more = {}) {
  return { seq, items: { ids: { u64: ids }, vectors: column(vectors, dim) }, ...more };
}

export function search(collection, vector, limit = 10, leg = {}) {
  return { collection, limit, legs: [{ vector: { vector: column(vector, vector.length), ...leg } }] };
}

export function range(from, to) {
  return Array.from({ length: to - from }, (_, i) => from + i);
}

/* api.js - calls to the server, the credential of this tab, and what is asked for again and again.
 * SPDX-License-Identifier: Apache-2.0 */
'use strict';

class ApiError extends Error {
  constructor(status, error) {
    super(error.message || 'no answer');
    this.status = status;
    this.code = error.code || '';
    this.reason = error.reason || '';
    this.field = error.field || '';
  }
}

/* The credential lives as long as the tab. Where storage is refused it lives as long as the page. */
const credential = {
  value: '',
  load() {
    try {
      this.value = sessionStorage.getItem('omendb-credential') || '';
    } catch (ignored) {
      this.value = '';
    }
  },
  set(value) {
    this.value = value;
    try {
      if (value === '') {
        sessionStorage.removeItem('omendb-credential');
      } else {
        sessionStorage.setItem('omendb-credential', value);
      }
    } catch (ignored) {
      /* kept in memory */
    }
  },
};

async function readError(response) {
  try {
    return (await response.json()).error || {};
  } catch (ignored) {
    return {message: 'the server answered with status ' + response.status};
  }
}

async function api(path, body) {
  const headers = {'X-Omen-Console': '1'};
  if (credential.value !== '') {
    headers.Authorization = 'Bearer ' + credential.value;
  }
  if (body !== undefined) {
    headers['Content-Type'] = 'application/json';
  }
  let response;
  try {
    response = await fetch('console/api/' + path, {
      method: body === undefined ? 'GET' : 'POST',
      headers,
      body: body === undefined ? undefined : JSON.stringify(body),
      cache: 'no-store',
      credentials: 'omit',
      redirect: 'error',
      signal: AbortSignal.timeout(20000),
    });
  } catch (error) {
    throw new ApiError(0, {code: 'UNREACHABLE', message: 'the server does not answer'});
  }
  if (!response.ok) {
    throw new ApiError(response.status, await readError(response));
  }
  return response.json();
}

/* ---- What is known of the server ---- */

const store = {
  state: null, /* of api/state */
  history: {t: []}, /* columns, oldest first */
  collections: null,
  more: false, /* there are collections beyond the list */
  rates: new Map(), /* searches a second of each collection */
  operations: null,
  slow: null,
  failure: null, /* why the newest question got no answer */
  heard: 0, /* when the last answer came */
  listeners: new Set(),
  tell(what) {
    for (const listener of this.listeners) {
      listener(what);
    }
  },
};

const HISTORY_MS = 900000;

function addHistory(fresh) {
  const old = store.history;
  const from = fresh.t.length > 0 ? fresh.t[fresh.t.length - 1] - HISTORY_MS : 0;
  let drop = 0;
  while (drop < old.t.length && old.t[drop] < from) {
    drop++;
  }
  const next = {};
  for (const name of Object.keys(fresh)) {
    next[name] = (old[name] || []).slice(drop).concat(fresh[name]);
  }
  store.history = next;
}

async function loadState() {
  const state = await api('state');
  if (store.state && store.state.server.started_unix !== state.server.started_unix) {
    store.history = {t: []}; /* it was started again */
    store.counts = null;
  }
  store.state = state;
  store.tell('state');
}

async function loadHistory() {
  const t = store.history.t;
  const fresh = await api('history' + (t.length > 0 ? '?after=' + t[t.length - 1] : ''));
  if (fresh.t.length > 0) {
    addHistory(fresh);
  }
  store.tell('history');
}

/* Counters become rates between two looks. */
function noteRates(list) {
  const now = performance.now();
  const before = store.counts;
  const counts = new Map(list.map((c) => [c.name, c.stats.searches]));
  if (before && now - before.at > 500) {
    for (const [name, count] of counts) {
      const old = before.counts.get(name);
      store.rates.set(name, old === undefined || count < old ? 0 : (count - old) * 1000 / (now - before.at));
    }
  }
  store.counts = {at: now, counts};
}

async function loadCollections() {
  const answer = await api('collections');
  store.collections = answer.collections;
  store.more = answer.next !== '';
  noteRates(answer.collections);
  store.tell('collections');
}

async function loadOperations() {
  store.operations = (await api('operations')).operations;
  store.tell('operations');
}

async function loadSlow() {
  store.slow = (await api('slow')).calls;
  store.tell('slow');
}

/* Asks every `ms` as long as the page is looked at and somebody wants it; slower while nobody answers. */
class Poll {
  constructor(load, ms) {
    this.load = load;
    this.ms = ms;
    this.wanted = false;
    this.timer = 0;
    this.running = false;
  }

  want(wanted) {
    this.wanted = wanted;
    if (wanted) {
      this.now();
    }
  }

  now() {
    clearTimeout(this.timer);
    if (!this.running && this.wanted) {
      this.run();
    }
  }

  async run() {
    this.running = true;
    let wait = this.ms;
    try {
      await this.load();
      heard();
    } catch (error) {
      missed(error);
      wait = Math.max(this.ms, 3000);
    }
    this.running = false;
    clearTimeout(this.timer);
    if (this.wanted && !document.hidden) {
      this.timer = setTimeout(() => this.now(), wait);
    }
  }
}

function heard() {
  store.heard = Date.now();
  if (store.failure !== null) {
    store.failure = null;
    store.tell('failure');
  }
}

function missed(error) {
  if (!(error instanceof ApiError)) {
    throw error;
  }
  if (error.status !== 0) {
    store.heard = Date.now();
  }
  store.failure = error;
  store.tell('failure');
}

const polls = {
  state: new Poll(loadState, 3000),
  history: new Poll(loadHistory, 1000),
  collections: new Poll(loadCollections, 3000),
  operations: new Poll(loadOperations, 2000),
  slow: new Poll(loadSlow, 5000),
};

document.addEventListener('visibilitychange', () => {
  if (!document.hidden) {
    Object.values(polls).forEach((poll) => poll.now());
  }
});

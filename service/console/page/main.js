/* main.js - which view is shown, the frame around it, light and dark, signing in.
 * SPDX-License-Identifier: Apache-2.0 */
'use strict';

const views = {'': overview, collections, search, operations};
let shown = {view: null, key: ''};

/* ---- Light and dark ---- */

const dark = matchMedia('(prefers-color-scheme: dark)');

function storedTheme() {
  try {
    return localStorage.getItem('omendb-theme') || '';
  } catch (ignored) {
    return '';
  }
}

function applyTheme(name) {
  document.documentElement.dataset.theme = name || storedTheme() || (dark.matches ? 'dark' : 'light');
  readColours();
  if (shown.view) {
    shown.view.update('theme');
  }
}

$('theme').addEventListener('click', () => {
  const next = document.documentElement.dataset.theme === 'dark' ? 'light' : 'dark';
  try {
    localStorage.setItem('omendb-theme', next);
  } catch (ignored) {
    /* it holds until the page is closed */
  }
  applyTheme(next);
});
dark.addEventListener('change', () => applyTheme());

/* ---- Views ---- */

/* #/search/name?like=1 -> ['search', 'name', URLSearchParams] */
function readAddress() {
  const [path, query] = location.hash.replace(/^#\/?/, '').split('?');
  const [first, ...rest] = path.split('/');
  let name = rest.join('/');
  try {
    name = decodeURIComponent(name);
  } catch (ignored) {
    /* as it stands */
  }
  return [first, name, new URLSearchParams(query || '')];
}

function showView() {
  const [first, name, parameters] = readAddress();
  const view = first === 'collections' && name !== '' ? collection : views[first] || overview;
  const tab = view === collection ? 'collections' : Object.hasOwn(views, first) && first !== '' ? first : 'overview';
  if (shown.view && shown.view.unmount) {
    shown.view.unmount();
  }
  shown = {view, key: location.hash};
  $('main').replaceChildren(view.mount(name, parameters));
  document.title = (view.title === 'Overview' ? '' : view.title + ' · ') + 'OmenDB';
  for (const link of $('tabs').children) {
    if (link.dataset.view === tab) {
      link.setAttribute('aria-current', 'page');
    } else {
      link.removeAttribute('aria-current');
    }
  }
  for (const [what, poll] of Object.entries(polls)) {
    poll.want(what === 'state' || what === 'history' || view.polls.includes(what));
  }
  view.update('all');
  scrollTo(0, 0);
}

/* ---- Frame ---- */

function showFrame() {
  const {server, you} = store.state;
  const kinds = {key: 'API key', jwt: 'token', certificate: 'certificate', bootstrap: 'bootstrap key'};
  setText($('whoami'), you.kind === 'nobody' ? '' : you.name);
  $('whoami').title = you.kind === 'nobody' ? '' : (kinds[you.kind] || you.kind) + ', tenant ' + you.tenant + '\n'
    + you.grants.map((g) => g.role + ' ' + g.collection).join('\n');
  const up = Date.now() / 1000 - server.started_unix;
  const parts = ['OmenDB ' + server.version, 'kernels ' + server.isa, plural(server.cores, 'core', 'cores'), 'up ' + fmtDuration(up)];
  const foot = $('foot');
  const out = store.state.credentials && credential.value !== ''
    ? h('button', {type: 'button', class: 'link', onclick: signOut}, 'Sign out') : null;
  foot.replaceChildren(...parts.map((text) => h('span', null, text)), ...(out ? [out] : []));
}

function signOut() {
  credential.set('');
  location.reload();
}

/* ---- Signing in ---- */

function showGate(error) {
  if ($('gate')) {
    return;
  }
  for (const poll of Object.values(polls)) {
    poll.want(false);
  }
  const input = h('input', {type: 'password', id: 'gate', class: 'mono', autocomplete: 'off', spellcheck: 'false', placeholder: 'omen_…', 'aria-label': 'API key or token'});
  const wrong = credential.value !== '' ? h('p', {class: 'bad', role: 'alert'}, error.message) : null;
  if (shown.view && shown.view.unmount) {
    shown.view.unmount();
  }
  shown = {view: null, key: ''};
  $('foot').replaceChildren();
  $('main').replaceChildren(h('form', {class: 'sheet gate', onsubmit: (event) => {
    event.preventDefault();
    credential.set(input.value.trim());
    showView();
  }}, h('div', {class: 'pad'},
    h('h1', null, 'Who are you?'),
    h('p', {class: 'soft'}, 'This server asks for an API key or a token, as for gRPC. It stays in this tab.'),
    wrong, input, h('div', {class: 'row'}, h('button', {type: 'submit', class: 'main'}, 'Sign in')))));
  input.focus();
}

/* ---- Silence ---- */

function showFailure() {
  const failure = store.failure;
  const banner = $('banner');
  if (failure && failure.status === 401) {
    banner.hidden = true;
    showGate(failure);
    return;
  }
  banner.hidden = failure === null;
  $('main').classList.toggle('stale', failure !== null && failure.status === 0);
  if (failure !== null) {
    const since = failure.status === 0 && store.heard > 0 ? ' since ' + fmtClock(store.heard) : '';
    setText(banner, failure.status === 0 ? 'The server does not answer' + since + '. Trying again.' : failure.message);
  }
}

store.listeners.add((what) => {
  if (what === 'failure') {
    showFailure();
    return;
  }
  if (what === 'state') {
    showFrame();
  }
  if (shown.view) {
    shown.view.update(what);
  }
});

addEventListener('hashchange', showView);
credential.load();
applyTheme();
showView();

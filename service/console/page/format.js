/* format.js - numbers as people read them. SPDX-License-Identifier: Apache-2.0 */
'use strict';

const whole = new Intl.NumberFormat('en-US', {maximumFractionDigits: 0});

function fmtInt(value) {
  return Number.isFinite(value) ? whole.format(value) : '–';
}

/* Three digits that count: 0.123, 1.23, 12.3, 123. */
function digits(value) {
  const size = Math.abs(value);
  return size >= 100 || size === 0 ? value.toFixed(0) : size >= 10 ? value.toFixed(1) : value.toFixed(2);
}

/* [text, unit] */
function scaled(value, units, step) {
  if (!Number.isFinite(value)) {
    return ['–', ''];
  }
  let i = 0;
  while (Math.abs(value) >= step * 0.9995 && i < units.length - 1) {
    value /= step;
    i++;
  }
  return [i === 0 && step !== 1024 && Number.isInteger(value) ? String(value) : digits(value), units[i]];
}

const partsCount = (value) => scaled(value, ['', 'k', 'M', 'G', 'T'], 1000);
const partsBytes = (value) => {
  const [text, unit] = scaled(value, ['B', 'KiB', 'MiB', 'GiB', 'TiB', 'PiB'], 1024);
  return unit === 'B' ? [String(Math.round(value)), 'B'] : [text, unit];
};
const partsNs = (value) => {
  const [text, unit] = scaled(value, ['ns', 'µs', 'ms', 's'], 1000);
  return unit === 'ns' ? [String(Math.round(value)), 'ns'] : [text, unit];
};
const partsRate = (value) => partsCount(Math.abs(value) >= 100 ? Math.round(value) : value);
const partsByteRate = (value) => {
  const [text, unit] = partsBytes(value);
  return [text, unit + '/s'];
};
const partsShare = (value) => Number.isFinite(value) ? [(value * 100).toFixed(value > 0.995 && value < 1 ? 2 : 1), '%'] : ['–', ''];
const partsMs = (value) => partsNs(value * 1e6);
const partsCores = (value) => Number.isFinite(value) ? [value.toFixed(2), 'cores'] : ['–', ''];

const join = (parts) => parts[1] === '' ? parts[0] : parts[1] === '%' ? parts[0] + ' %' : /^[kMGT]$/.test(parts[1]) ? parts[0] + ' ' + parts[1] : parts[0] + ' ' + parts[1];
const fmtCount = (value) => value < 10000 ? fmtInt(value) : join(partsCount(value));
const fmtBytes = (value) => join(partsBytes(value));
const fmtNs = (value) => join(partsNs(value));
const fmtRate = (value) => join(partsRate(value));
const fmtShare = (value) => join(partsShare(value));

function fmtDuration(seconds) {
  if (seconds < 90) {
    return Math.max(0, Math.round(seconds)) + ' s';
  }
  if (seconds < 5400) {
    return Math.round(seconds / 60) + ' min';
  }
  if (seconds < 129600) {
    return (seconds / 3600).toFixed(seconds < 36000 ? 1 : 0) + ' h';
  }
  return Math.round(seconds / 86400) + ' days';
}

function fmtClock(ms) {
  return new Date(ms).toLocaleTimeString('en-GB');
}

function fmtWhen(ms) {
  const seconds = (Date.now() - ms) / 1000;
  return seconds < 3600 * 20 ? fmtClock(ms) : new Date(ms).toLocaleString('en-GB', {dateStyle: 'medium', timeStyle: 'short'});
}

function plural(count, one, many) {
  return fmtCount(count) + ' ' + (count === 1 ? one : many);
}

const METRICS = {l2: 'L2', ip: 'inner product', cosine: 'cosine', hamming: 'Hamming'};
const PLANS = {
  exact: 'every row was compared',
  graph: 'the graph was walked',
  empty: 'nothing passes the filter',
  filter_in: 'the graph was walked, the filter checked on the way',
  filter_hop: 'the graph was walked over the neighbours of what does not pass',
  filter_bridge: 'the graph was walked among what passes and the bridges between',
  abandoned: 'a walk cost more than reading all that passes, which was then done',
  text: 'words were looked up',
  hybrid: 'several lists were made and fused',
};

// The world a reward lives in: no clock, no chance that differs between instances, and a console that is the
// log. Loaded before the author's module, whose top level sees the same world.

import { write } from 'r1x:reward/log@0.1.0';

// The same moment that rewards in Python see: 2024-01-01 00:00:00 UTC.
const NOW = 1704067200000;
// Longer messages are cut by the host, and encoding them would take time.
const LONGEST = 4096;

// While the component is built there is no host to write to.
const host = { present: false };

export function connected() {
  host.present = true;
}

function shown(value) {
  if (typeof value === 'string') return value;
  if (value instanceof Error) return `${value.name}: ${value.message}`;
  try {
    return JSON.stringify(value) ?? String(value);
  } catch {
    return String(value);
  }
}

function logger(level) {
  return (...values) => {
    if (host.present) write(level, values.map(shown).join(' ').slice(0, LONGEST));
  };
}

globalThis.console = {
  debug: logger('debug'),
  error: logger('warn'),
  info: logger('info'),
  log: logger('info'),
  trace: logger('debug'),
  warn: logger('warn'),
};

// Numbers from a counter through a mixing function: the same in every build and instance.
let counter = 0;
Math.random = () => {
  counter = (counter + 0x9e3779b9) | 0;
  let bits = counter ^ (counter >>> 16);
  bits = Math.imul(bits, 0x21f0aaad);
  bits ^= bits >>> 15;
  bits = Math.imul(bits, 0x735a2d97);
  bits ^= bits >>> 15;
  return (bits >>> 0) / 4294967296;
};

const RealDate = Date;
globalThis.Date = new Proxy(RealDate, {
  construct: (target, values, made) => Reflect.construct(target, values.length === 0 ? [NOW] : values, made),
  apply: () => new RealDate(NOW).toString(),
  get: (target, name) => (name === 'now' ? () => NOW : Reflect.get(target, name)),
});
RealDate.prototype.constructor = globalThis.Date;

// What would reach outside is not there, which an author understands sooner than a trap.
for (const name of [
  'addEventListener', 'clearInterval', 'clearTimeout', 'crypto', 'CompressionStream', 'DecompressionStream',
  'fetch', 'location', 'performance', 'setInterval', 'setTimeout',
]) {
  delete globalThis[name];
}

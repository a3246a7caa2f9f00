// The plugin around an author's function: r1x puts it into every reward written in JavaScript.
//
// Its top level, and the author's, run once, when the component is built. What runs for each batch is
// `scoreBatch`. Must not know what a reward means.

import { connected } from './r1x_world.js';
import { judge, note } from './r1x_note.js';

// Frames shown of an exception; the first ones are nearest to its cause.
const FRAMES = 6;
// Characters of an explanation: the host keeps 4096 bytes.
const LONGEST = 3500;
const NO_PARTS = [];
const COLUMNS = note.about.columns;

const takes = (name) => note.reserved.includes(name);
const TAKES = {
  prompt: takes('prompt') || takes('prompts'),
  groups: takes('groups'),
  config: takes('config'),
};
const LINES = Object.fromEntries(Object.entries(note.files).map(([name, text]) => [name, text.split('\n')]));

let config = '{}';

// --- exports -------------------------------------------------------------------------------------------

export function info() {
  connected();
  return {
    ...note.about,
    needs: { prompt: TAKES.prompt, metadata: false, groups: TAKES.groups },
    min: undefined,
    max: undefined,
    configSchema: undefined,
  };
}

export function configure(text) {
  connected();
  const refuse = (sentence) => {
    throw { tag: 'bad-config', val: sentence };
  };
  let given;
  try {
    given = (text.trim() === '' ? null : JSON.parse(text)) ?? {};
  } catch (error) {
    refuse(`the configuration is not JSON: ${error.message}`);
  }
  if (typeof given !== 'object' || Array.isArray(given)) refuse('the configuration must be an object');
  const keys = Object.keys(given);
  if (keys.length > 0 && !TAKES.config) {
    refuse(`this reward takes none, but got ${keys.join(', ')}: let its function take \`config\``);
  }
  // Kept as text: each call has an object of its own, which it may change.
  config = JSON.stringify(given);
}

export function scoreBatch(batch) {
  connected();
  return note.batch ? judgeTogether(batch) : batch.map(judgeOne);
}

// --- one rollout ---------------------------------------------------------------------------------------

function columns(rollout) {
  const values = JSON.parse(rollout.columns);
  for (let at = 0; at < COLUMNS.length; at++) {
    if (!(COLUMNS[at] in values)) throw new Error(`the column \`${COLUMNS[at]}\` is missing`);
  }
  return values;
}

function judgeOne(rollout) {
  try {
    const taken = columns(rollout);
    taken.completion = rollout.completion;
    if (TAKES.prompt) taken.prompt = rollout.prompt;
    if (TAKES.config) taken.config = JSON.parse(config);
    return score(judge(taken));
  } catch (error) {
    return failed(explanation(error));
  }
}

// --- a whole call --------------------------------------------------------------------------------------

function call(batch) {
  const rows = batch.map(columns);
  const taken = { completions: batch.map((rollout) => rollout.completion) };
  if (TAKES.prompt) taken.prompts = batch.map((rollout) => rollout.prompt);
  if (TAKES.groups) taken.groups = groupNumbers(batch);
  if (TAKES.config) taken.config = JSON.parse(config);
  for (const name of note.about.columns) taken[name] = rows.map((row) => row[name]);
  for (const name of note.about.optionalColumns) {
    if (rows.some((row) => Object.hasOwn(row, name))) taken[name] = rows.map((row) => row[name]);
  }
  const values = judge(taken);
  if (!Array.isArray(values)) {
    throw new WrongAnswer(`the function returned ${shown(values)}, not a list with one score for each completion`);
  }
  if (values.length !== batch.length) {
    const counts = `${counted(values.length, 'score')} for ${counted(batch.length, 'completion')}`;
    throw new WrongAnswer(`the function returned ${counts}: it must return a list with one for each`);
  }
  return Array.from(values, score);
}

/** What the function returned is no list with a score for each completion: its fault, and no completion's. */
class WrongAnswer extends Error {}

function counted(number, thing) {
  return number === 1 ? `${number} ${thing}` : `${number} ${thing}s`;
}

/** Groups counted from 0 in every call. */
function groupNumbers(batch) {
  const numbers = new Map();
  return batch.map(({ group }) => {
    if (!numbers.has(group)) numbers.set(group, numbers.size);
    return numbers.get(group);
  });
}

/** What may be judged alone: a rollout, or a group for a function that looks at groups. */
function units(batch) {
  const parts = [];
  for (const rollout of batch) {
    if (TAKES.groups && parts.at(-1)?.[0].group === rollout.group) parts.at(-1).push(rollout);
    else parts.push([rollout]);
  }
  return parts;
}

/** Scores a batch; when the function fails on it, the rollouts at fault pay for themselves only. */
function judgeTogether(batch) {
  if (batch.length === 0) return [];
  let parts;
  try {
    return call(batch);
  } catch (error) {
    if (error instanceof WrongAnswer) return allFailed(batch, error.message);
    parts = units(batch);
    if (parts.length < 2) return allFailed(batch, explanation(error));
  }
  try {
    return apart(parts);
  } catch (error) {
    return allFailed(batch, error instanceof WrongAnswer ? error.message : explanation(error));
  }
}

function allFailed(batch, reason) {
  return batch.map(() => failed(reason));
}

/**
 * Scores each part alone, and everything that went well once more together. Alone, a single score is the right
 * number and a neighbour's influence is not there: what differs then is no answer.
 */
function apart(parts) {
  const scores = [];
  const good = [];
  const expected = [];
  for (const part of parts) {
    let judged;
    try {
      judged = call(part);
    } catch (error) {
      if (error instanceof WrongAnswer) throw error;
      scores.push(...allFailed(part, explanation(error)));
      continue;
    }
    scores.push(...judged);
    good.push(part);
    expected.push(...judged);
  }
  if (good.length > 1) confirm(good.flat(), expected);
  return scores;
}

function confirm(batch, expected) {
  const size = counted(batch.length, 'completion');
  let found;
  try {
    found = call(batch);
  } catch (error) {
    if (error instanceof WrongAnswer) throw error;
    // Fewer at once may well fit.
    if (error?.name === 'InternalError') return;
    throw new WrongAnswer(
      `the function fails on ${size} together and on none of them alone: ${explanation(error)}`);
  }
  const at = found.findIndex((now, at) => facts(now) !== facts(expected[at]));
  if (at < 0) return;
  throw new WrongAnswer(
    `the function gives other scores to ${size} together than alone: ${facts(found[at])} instead of ` +
    `${facts(expected[at])}. A score may depend on its own completion, and on those of its group where the ` +
    'function takes `groups`');
}

/** A score as a text that tells it from every other one. */
function facts({ reward, parts, info }) {
  const list = parts.map(({ name, value }) => `, ${name} ${value}`).join('');
  const why = info?.replace(/^r1x-failed:/, '');
  return `${reward ?? 'no opinion'}${list}${why ? ` (${why})` : ''}`;
}

// --- scores --------------------------------------------------------------------------------------------

/** A score that the host records as a failure with its reason: a reward that is no number, and this word before it. */
function failed(reason) {
  return { reward: NaN, parts: NO_PARTS, info: `r1x-failed:${reason}` };
}

function number(value) {
  const kind = typeof value;
  if (kind === 'number') return value;
  if (kind === 'boolean' || kind === 'bigint') return Number(value);
  throw new TypeError(`${shown(value)} is ${kind}, not a number`);
}

/** One thing the author returned, as a score. Written for an interpreter: loops, and no iterators. */
function score(value) {
  try {
    if (value === null) return { reward: undefined, parts: NO_PARTS, info: undefined };
    if (value === undefined) {
      throw new TypeError('the function returned nothing; `return null` says "no opinion"');
    }
    if (typeof value !== 'object') return { reward: number(value), parts: NO_PARTS, info: undefined };
    for (const key in value) {
      if (key !== 'reward' && key !== 'parts' && key !== 'info') unknown(value);
    }
    const { reward, info } = value;
    if (reward === undefined) unknown(value);
    return {
      reward: reward === null ? undefined : number(reward),
      parts: value.parts ? parts(value.parts) : NO_PARTS,
      info: info === undefined || info === null ? undefined : String(info).slice(0, LONGEST),
    };
  } catch (error) {
    return failed(`${error.name}: ${error.message}`);
  }
}

function unknown(value) {
  const there = Object.keys(value).join(', ') || 'nothing';
  throw new TypeError(`a score may have \`reward\`, \`parts\` and \`info\`, and needs \`reward\`; it has ${there}`);
}

function parts(given) {
  const list = [];
  for (const name in given) list.push({ name, value: number(given[name]) });
  return list;
}

// --- words ---------------------------------------------------------------------------------------------

function shown(value) {
  let text;
  try {
    text = JSON.stringify(value) ?? String(value);
  } catch {
    text = typeof value;
  }
  return text.slice(0, 80);
}

/** An exception in words, the summary first and then the author's frames with their lines. */
function explanation(error) {
  let text;
  try {
    if (!(error instanceof Error)) return `the function threw ${shown(error)}, which is no Error`;
    const frames = String(error.stack).split('\n').map(frame).filter((one) => one);
    const where = place(error.stack);
    text = [`threw ${error.name}${where && ` at ${where}`}: ${error.message}`, ...frames.slice(0, FRAMES)].join('\n');
  } catch {
    text = 'an exception that cannot be shown';
  }
  return text.slice(0, LONGEST);
}

/** The innermost line of the author's in a stack, as `file.js:line`. */
function place(stack) {
  const found = /@author\/(.*):(\d+):\d+$/m.exec(String(stack));
  return found ? `${found[1]}:${found[2]}` : '';
}

/** A line of a stack, `function@author/file.js:line:column`, as an author knows it. */
function frame(line) {
  const found = /^(.*)@author\/(.*):(\d+):\d+$/.exec(line);
  if (!found) return undefined;
  const [, name, file, at] = found;
  const source = LINES[file]?.[at - 1]?.trim() ?? '';
  return `  ${file}:${at}, in ${name || 'the top level'}: ${source}`;
}

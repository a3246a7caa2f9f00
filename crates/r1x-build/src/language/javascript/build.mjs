// Builds the component of a reward in JavaScript: reads what the author's function asks for out of its source,
// and hands everything to componentize-js. Runs in Node, in a folder of copies; the author's code is parsed
// here and run nowhere but in componentize-js's own sandbox.
//
// Arguments: the folder of componentize-js. Must not know what a reward means.

import { readFileSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import path from 'node:path';
import { pathToFileURL } from 'node:url';

// Everything that would be an import of the component beside r1x's own.
const FEATURES = ['stdio', 'random', 'clocks', 'http', 'fetch-event'];
const AUTHOR = 'author';
// What r1x fills in itself; every other name is a column of the data. One rollout, or a whole call as lists.
const ONE = ['completion', 'prompt', 'config'];
const ALL = ['completions', 'prompts', 'groups', 'config'];

class Refused extends Error {}

function refuse(message) {
  throw new Refused(message);
}

function place(file, at) {
  const before = file.text.slice(0, at).split('\n');
  return `${file.name}:${before.length}`;
}

// --- reading the sources ---------------------------------------------------------------------------------

/** The author's files by name: the entry, and what it and its imports import. */
function readAll(parser, entry) {
  const files = new Map();
  const waiting = [entry];
  while (waiting.length > 0) {
    const name = waiting.pop();
    if (files.has(name)) continue;
    const file = parse(parser, name);
    files.set(name, file);
    waiting.push(...imports(file));
  }
  return files;
}

function parse(parser, name) {
  const file = { name, text: readFileSync(path.join(AUTHOR, name), 'utf8') };
  const parsed = parser.parseSync(name, file.text, { lang: 'js', sourceType: 'module' });
  const error = parsed.errors.find((one) => one.severity === 'Error');
  if (error) {
    const at = error.labels[0]?.start ?? 0;
    const line = file.text.split('\n')[Number(place(file, at).split(':').pop()) - 1] ?? '';
    refuse(`${place(file, at)}: ${error.message}: ${line.trim()}`);
  }
  return Object.assign(file, { body: parsed.program.body, module: parsed.module, comments: parsed.comments });
}

/** Names of the files a file imports. What a finished component cannot load is refused. */
function imports(file) {
  for (const one of file.module.dynamicImports) {
    refuse(`${place(file, one.start)}: import() loads when the reward runs, where there are no files: write ` +
      "`import ... from` at the top");
  }
  const statements = [...file.module.staticImports, ...file.module.staticExports.flatMap((one) => one.entries)];
  return statements.filter((one) => one.moduleRequest).map((one) => {
    const { value, start } = one.moduleRequest;
    if (!value.startsWith('.')) {
      refuse(`${place(file, start)}: there is no module \`${value}\` in the sandbox. A reward has the language ` +
        'itself and the files beside it in its own folder with a plugin.toml, named as in `./words.js`');
    }
    const name = path.posix.join(path.posix.dirname(file.name), value);
    try {
      if (name.startsWith('..')) throw new Error('outside of the folder');
      readFileSync(path.join(AUTHOR, name));
    } catch {
      refuse(`${place(file, start)}: there is no file \`${value}\` beside it. With a plugin.toml in the folder, ` +
        'all files of the folder are part of the reward; a single file stands alone');
    }
    return name;
  });
}

/** Every node of a syntax tree. */
function* nodes(tree) {
  if (Array.isArray(tree)) {
    for (const one of tree) yield* nodes(one);
  } else if (tree && typeof tree === 'object') {
    if (tree.type) yield tree;
    for (const one of Object.values(tree)) {
      if (one && typeof one === 'object') yield* nodes(one);
    }
  }
}

// --- what the function asks for ----------------------------------------------------------------------------

/** The functions and other things a file declares at its top level, by name. */
function declared(file) {
  const found = new Map();
  for (const statement of file.body) {
    const inner = statement.declaration ?? statement;
    if (inner.type === 'FunctionDeclaration' && inner.id) found.set(inner.id.name, inner);
    if (inner.type === 'VariableDeclaration') {
      for (const one of inner.declarations) {
        if (one.id.type === 'Identifier' && one.init) found.set(one.id.name, one.init);
      }
    }
    if (statement.type === 'ExportDefaultDeclaration') found.set('default', inner);
  }
  return found;
}

function exported(file) {
  const names = file.module.staticExports.flatMap((one) => one.entries).map((one) => [
    one.exportName.kind === 'Default' ? 'default' : one.exportName.name,
    one.localName.name ?? 'default',
  ]);
  return new Map(names);
}

function findFunction(file, name) {
  const exports = exported(file);
  if (!exports.has(name)) {
    const known = [...exports.keys()].filter((one) => one);
    const there = known.length > 0 ? `it exports: ${known.join(', ')}` : 'it exports nothing';
    refuse(`${file.name} exports no function \`${name}\`; ${there}. Write \`export function ${name}(...)\`` +
      (known.length > 0 ? `, or name another in a plugin.toml: entry = "${file.name}:${known[0]}"` : ''));
  }
  const found = declared(file);
  let node = found.get(exports.get(name));
  if (node?.type === 'Identifier') node = found.get(node.name);
  if (!['FunctionDeclaration', 'FunctionExpression', 'ArrowFunctionExpression'].includes(node?.type)) {
    refuse(`${file.name}: \`${name}\` must be a function written in this file, so that its columns can be read`);
  }
  if (node.async || node.generator) {
    refuse(`${place(file, node.start)}: \`${name}\` is ${node.async ? 'asynchronous' : 'a generator'}; a reward ` +
      `has nothing to wait for: write \`function ${name}\``);
  }
  return node;
}

/** What the first parameter takes apart. */
function signature(file, name, node) {
  const where = `${place(file, node.start)}: \`${name}\``;
  const first = node.params[0]?.type === 'AssignmentPattern' ? node.params[0].left : node.params[0];
  const wanted = `write \`function ${name}({ completion, target })\`: the names beside \`completion\` are columns`;
  if (first?.type !== 'ObjectPattern') refuse(`${where} does not say which columns it needs; ${wanted}`);
  const columns = [];
  const optional = [];
  for (const property of first.properties) {
    if (property.type === 'RestElement') continue;
    if (property.computed) refuse(`${where} computes a column's name; write it out`);
    const list = property.value.type === 'AssignmentPattern' ? optional : columns;
    list.push(property.key.name ?? String(property.key.value));
  }
  const names = [...columns, ...optional];
  const batch = names.includes('completions');
  if (batch === names.includes('completion')) {
    refuse(`${where} must take ${batch ? 'either `completion` or `completions`' : '`completion`'}; ${wanted}`);
  }
  const reserved = batch ? ALL : ONE;
  const own = (list) => list.filter((one) => !reserved.includes(one));
  return {
    batch,
    reserved: names.filter((one) => reserved.includes(one)),
    columns: own(columns),
    optional: own(optional),
  };
}

function text(node) {
  return node?.type === 'Literal' && typeof node.value === 'string' ? node.value : undefined;
}

/** Names of sub-scores: the file's `PARTS`, or the keys of every literal `parts: {...}` in the files. */
function declaredParts(files, entry) {
  const list = declared(entry).get('PARTS');
  if (list) {
    const names = list.elements?.map(text) ?? [undefined];
    if (names.includes(undefined)) refuse(`${place(entry, list.start)}: PARTS must be a list of texts`);
    return [...new Set(names)];
  }
  const keyOf = (property) => (property.computed ? undefined : property.key?.name ?? text(property.key));
  const names = new Set();
  for (const file of files.values()) {
    for (const node of nodes(file.body)) {
      if (node.type === 'Property' && keyOf(node) === 'parts' && node.value.type === 'ObjectExpression') {
        node.value.properties.map(keyOf).filter((key) => key).forEach((key) => names.add(key));
      }
    }
  }
  return [...names].sort();
}

/** The first line of the comment above a function. */
function described(file, node) {
  const start = file.body.find((one) => one.start <= node.start && node.end <= one.end)?.start ?? node.start;
  const above = file.comments?.filter((one) => one.end <= start && file.text.slice(one.end, start).trim() === '');
  const lines = above?.at(-1)?.value.split('\n').map((line) => line.replace(/^[\s*]+/, '').trim());
  return lines?.find((line) => line) ?? '';
}

// --- building ----------------------------------------------------------------------------------------------

/** The module through which the shim reaches the author's function and what is known of it. */
function noteModule(note, files, file) {
  const node = findFunction(file, note.function);
  const asked = signature(file, note.function, node);
  const shown = Object.fromEntries([...files.values()].map((one) => [one.name, one.text]));
  const about = {
    name: note.name,
    version: note.version,
    description: note.description || described(file, node),
    columns: asked.columns,
    optionalColumns: asked.optional,
    parts: declaredParts(files, file),
  };
  const facts = { about, batch: asked.batch, reserved: asked.reserved, files: shown };
  return `export { ${note.function} as judge } from './${AUTHOR}/${note.path}';\n` +
    `export const note = ${JSON.stringify(facts)};\n`;
}

async function main(folder) {
  const require = createRequire(path.join(folder, 'package.json'));
  const load = (file) => import(pathToFileURL(file).href);
  const { parseSync } = await load(require.resolve('oxc-parser'));
  const note = JSON.parse(readFileSync('r1x_note.json', 'utf8'));
  const files = readAll({ parseSync }, note.path);
  writeFileSync('r1x_note.js', noteModule(note, files, files.get(note.path)));
  const { componentize } = await load(path.join(folder, 'src/componentize.js'));
  const { component } = await componentize({
    sourcePath: 'r1x_shim.js',
    witPath: 'wit',
    worldName: note.world,
    disableFeatures: FEATURES,
  });
  writeFileSync('component.wasm', component);
}

try {
  await main(process.argv[2]);
} catch (error) {
  if (error instanceof Refused) console.error(`\nr1x-refused:${JSON.stringify(error.message)}`);
  else console.error(error?.message ?? error);
  process.exitCode = 1;
}

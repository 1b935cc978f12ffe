// What fsdocs leaves to be done, on the pages in the folder that is the argument: links that work from a folder, formulas set by KaTeX, a search index
// that a page may load without a server, the source files that pages link to. Then the site is checked: a formula that does not parse, a link to
// nothing, an address of this machine or of a package feed is an error.

import { readFileSync, writeFileSync, readdirSync, rmSync, mkdirSync, cpSync, existsSync, statSync } from 'node:fs';
import { dirname, join, relative, resolve, posix } from 'node:path';
import katex from '../node_modules/katex/dist/katex.mjs';
import { charted } from './_chart.mjs';
import { csharpReference } from './_csharp.mjs';

const repository = resolve(import.meta.dirname, '..');
const site = resolve(process.argv[2]);
const problems = [];
const files = () => readdirSync(site, { recursive: true }).filter(f => statSync(join(site, f)).isFile());
const plain = html => html.replace(/&lt;/g, '<').replace(/&gt;/g, '>').replace(/&quot;/g, '"').replace(/&#39;/g, "'").replace(/&amp;/g, '&');
const escaped = text => text.replace(/&/g, '&amp;').replace(/</g, '&lt;').replace(/>/g, '&gt;');

// Copies of pages for other readers, and what only the scripts and this one need.
for (const file of files()) {
  if (/\.(md|txt|fs|fsx|mjs)$|NuGet\.config$/.test(file)) rmSync(join(site, file));
}

cpSync(join(repository, 'node_modules/katex/dist/katex.min.css'), join(site, 'content/katex/katex.min.css'));
cpSync(join(repository, 'node_modules/katex/dist/fonts'), join(site, 'content/katex/fonts'), { recursive: true, filter: f => !/\.(ttf|woff)$/.test(f) });
cpSync(join(repository, 'node_modules/minisearch/dist/umd/index.js'), join(site, 'content/minisearch.js'));

rmSync(join(site, 'index.json'), { force: true });

// fsdocs names a page of the reference after the folder of the checkout too, and has two references' worth of names for one.
for (const file of files().filter(f => f.endsWith('.html'))) {
  const html = readFileSync(join(site, file), 'utf8');
  const own = html
    .replace(/<title>(.*?) \([^()<]*\) · Fokker<\/title>/, '<title>$1 · Fokker</title>')
    .replace(/(<li class="nav-header">\s*)API Reference/, '$1F# reference')
    .replace('<h1>API Reference</h1>', '<h1>F# reference</h1>')
    // What every type has, an assembly, a base type, equality, says nothing of this one.
    .replace(/<dl class="fsdocs-metadata">[\s\S]*?<\/dl>/g, '');
  const titled = file.startsWith('reference/') ? own.replace(/<h2>(\s*[^<]*?(?:Type|Module|Namespace)\s*)<\/h2>/, '<h1>$1</h1>') : own;
  if (titled !== html) writeFileSync(join(site, file), titled);
}

// ---- the C# reference

const page = html => html.match(/<!-- page -->([\s\S]*)<!-- \/page -->/)?.[1] ?? '';
const frame = readFileSync(join(site, 'index.html'), 'utf8');
const framed = (title, html) => frame
  .replace(/<!-- page -->[\s\S]*<!-- \/page -->/, () => `<!-- page -->\n${html}\n<!-- /page -->`)
  .replace(/<aside[\s\S]*<\/aside>/, '')
  .replace(/<title>.*<\/title>/, () => `<title>${escaped(title)} · Fokker</title>`);

const csharpPages = csharpReference(repository);
problems.push(...csharpPages.problems);
mkdirSync(join(site, 'reference/csharp'), { recursive: true });
for (const { page, title, html } of csharpPages.pages) writeFileSync(join(site, page), framed(title, html));

// ---- the search: what a reader sees of a page, without its formulas, figures and code

const entities = { lt: '<', gt: '>', quot: '"', '#39': "'", '#32': ' ', nbsp: ' ', amp: '&' };
const words = html => html
  .replace(/<(script|style|svg|pre|table class="pre"|div popover)[\s\S]*?<\/(script|style|svg|pre|table|div)>/g, ' ')
  .replace(/<span class="math">[\s\S]*?<\/span>/g, ' … ')
  .replace(/<(?:[^<>"']|"[^"]*"|'[^']*')*>/g, ' ')
  .replace(/&(lt|gt|quot|#39|#32|nbsp|amp);/g, (_, name) => entities[name])
  .replace(/\s+/g, ' ')
  .trim();

const index = files().filter(f => f.endsWith('.html') && !f.startsWith('reference/csharp')).map((file, id) => {
  const html = page(readFileSync(join(site, file), 'utf8'));
  const titled = [...html.matchAll(/<h([1-4])[^>]*>([\s\S]*?)<\/h\1>/g)].map(([, level, heading]) => [level, words(heading)]);
  return {
    uri: file,
    title: titled.find(([level]) => level === '1')?.[1] ?? titled[0]?.[1] ?? file,
    headings: titled.map(([, heading]) => heading).join(' '),
    content: words(html.replace(/<h1[\s\S]*?<\/h1>/, '')).slice(0, 20000),
  };
}).concat(csharpPages.entries).map((entry, id) => ({ id, ...entry }));
writeFileSync(join(site, 'content/search-index.js'), `window.searchIndex = ${JSON.stringify(index)};\n`);

const set = (page, display) => (_, formula) => {
  try {
    return katex.renderToString(plain(formula), { displayMode: display, throwOnError: true, output: 'html' });
  } catch (error) {
    problems.push(`${page}: ${error.message}`);
    return formula;
  }
};

// A file of the repository that a page links to becomes a page of its own, in the frame of that page.
const sources = new Map();
const sourcePage = file => {
  const name = `source/${file}.html`;
  sources.set(name, file);
  return name;
};

const finished = (page, raw) => {
  const html = charted(raw, problem => problems.push(`${page}: ${problem}`));
  const here = posix.dirname(page);
  const up = here === '.' ? './' : '../'.repeat(here.split('/').length);
  // What pages link to lies relative to where they were written: docs/.
  const link = (whole, kind, target) => {
    if (/^([a-z]+:|#|\/@root\/)/.test(target)) return whole;
    const [path, anchor] = target.split('#');
    const file = posix.normalize(posix.join('docs', here, path));
    if (existsSync(join(site, posix.join(here, path))) || file.startsWith('..') || !existsSync(join(repository, file))) return whole;
    if (statSync(join(repository, file)).isDirectory()) return whole;
    return `${kind}="${up}${sourcePage(file)}${anchor ? '#' + anchor : ''}"`;
  };
  // fsdocs has no page for a C# type with an attribute that takes a type (TypeConverter): its name stays, without a link.
  const unlinked = (whole, target, text) => (existsSync(join(site, target.replace('/@root/', '').split('#')[0])) ? whole : text);
  // XML comments are no Markdown to fsdocs, but their backquotes are meant.
  const quoted = page.startsWith('reference/') ? html.replace(/`([^`<>\n]+)`/g, '<code>$1</code>') : html;
  return quoted
    .replace(/<a href="(\/@root\/reference\/[^"]*)"[^>]*>([\s\S]*?)<\/a>/g, unlinked)
    .replace(/(href)="([^"]*)"/g, link)
    .replaceAll('/@root/', up)
    .replace(/<span class="math">\\\(([\s\S]*?)\\\)<\/span>/g, set(page, false))
    .replace(/<span class="math">\\\[([\s\S]*?)\\\]<\/span>/g, set(page, true));
};

// What the C# of its page wrote, below each piece of it.
const written = readFileSync(join(repository, 'artifacts/docs-csharp/output.txt'), 'utf8').split('\u001e').map(said => said.trim());
const csharp = join(site, 'start-csharp.html');
const pieces = readFileSync(csharp, 'utf8').split(/(?<=<code lang="csharp">(?:(?!<table)[\s\S])*?<\/table>)/);
if (pieces.length !== written.length + 1) problems.push(`start-csharp.html: ${pieces.length - 1} pieces of C#, ${written.length} outputs`);
writeFileSync(csharp, pieces.map((piece, k) => piece + (written[k] ? `\n<table class="pre"><tr><td><pre><code>${escaped(written[k])}</code></pre></td></tr></table>\n` : '')).join(''));

for (const page of files().filter(f => f.endsWith('.html'))) {
  writeFileSync(join(site, page), finished(page, readFileSync(join(site, page), 'utf8')));
}
for (const [name, file] of sources) {
  const text = `<h1>${escaped(file)}</h1>\n<pre><code>${escaped(readFileSync(join(repository, file), 'utf8'))}</code></pre>`;
  mkdirSync(dirname(join(site, name)), { recursive: true });
  writeFileSync(join(site, name), finished(name, framed(file, text)));
}

// ---- the check

const feeds = /https?:\/\/[^\s"'<]*(?:registry|feed|\/v3\/index\.json)/;
const anchors = new Map();
const anchorsOf = path => {
  if (!anchors.has(path)) anchors.set(path, new Set([...readFileSync(path, 'utf8').matchAll(/(?:id|name)="([^"]*)"/g)].map(m => plain(m[1]))));
  return anchors.get(path);
};

for (const page of files().filter(f => f.endsWith('.html'))) {
  const html = readFileSync(join(site, page), 'utf8');
  for (const [, attribute, target] of html.matchAll(/(href|src)="([^"]*)"/g)) {
    if (/^(data|mailto):/.test(target)) continue;
    if (/^https?:/.test(target)) {
      if (attribute === 'src') problems.push(`${page}: loads ${target}`);
      continue;
    }
    const [path, anchor] = plain(target).split('#');
    const file = path === '' ? join(site, page) : resolve(site, dirname(page), decodeURIComponent(path));
    if (!existsSync(file)) problems.push(`${page}: links to ${target}, which is not there`);
    else if (anchor && file.endsWith('.html') && !page.startsWith('reference') && !anchorsOf(file).has(decodeURIComponent(anchor))) problems.push(`${page}: ${relative(site, file)} has no #${anchor}`);
  }
  if (html.includes('class="math"')) problems.push(`${page}: a formula was not set`);
}
for (const file of files().filter(f => /\.(html|js|css|json)$/.test(f) && !f.includes('minisearch'))) {
  const text = readFileSync(join(site, file), 'utf8');
  if (text.includes(repository) || /\/(root|home|tmp)\/[\w.]/.test(text)) problems.push(`${file}: a path of this machine`);
  if (feeds.test(text)) problems.push(`${file}: the address of a package feed (${text.match(feeds)[0]})`);
}

const different = [...new Set(problems)];
for (const problem of different.slice(0, 20)) console.error(problem);
console.log(`${files().filter(f => f.endsWith('.html')).length} pages, ${index.length} entries to search${problems.length ? `, ${problems.length} problems` : ''}.`);
process.exit(problems.length ? 1 : 0);

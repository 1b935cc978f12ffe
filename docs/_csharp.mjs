// The reference of the C# façade, in C#'s own words: declarations from the approved surface (tests/CSharpApi/PublicApi.approved.txt, which a test holds to the
// assembly), what they mean from its XML comments. fsdocs writes declarations as F# would, leaves out methods of some shapes, and lists what records generate.

import { readFileSync } from 'node:fs';
import { join } from 'node:path';

const plain = xml => xml.replace(/&lt;/g, '<').replace(/&gt;/g, '>').replace(/&quot;/g, '"').replace(/&apos;/g, "'").replace(/&amp;/g, '&');
const escaped = text => text.replace(/&/g, '&amp;').replace(/</g, '&lt;').replace(/>/g, '&gt;');

// ---- the XML comments

const commentsOf = xml => new Map([...xml.matchAll(/<member name="([^"]+)">([\s\S]*?)<\/member>/g)].map(m => [plain(m[1]), m[2]]));
const inside = (comment, tag) => comment?.match(new RegExp(`<${tag}>([\\s\\S]*?)</${tag}>`))?.[1]?.trim() ?? '';
const listed = (comment, tag, key) => [...(comment ?? '').matchAll(new RegExp(`<${tag} ${key}="([^"]+)">([\\s\\S]*?)</${tag}>`, 'g'))].map(m => [plain(m[1]), m[2].trim()]);

// ---- the declarations

const keywords = { bool: 'Boolean', byte: 'Byte', double: 'Double', float: 'Single', int: 'Int32', long: 'Int64', object: 'Object', string: 'String' };

// A type in the notation of XML comments' names, nullability aside: `IReadOnlyList<double?>` and `IReadOnlyList{System.Nullable{System.Double}}` meet here.
const met = type => type
  .replace(/System\.Nullable[<{]([^<>{}]*)[>}]/g, '$1')
  .replace(/\b(bool|byte|double|float|int|long|object|string)\b/g, w => `System.${keywords[w]}`)
  .replace(/\[0:(,0:)+\]/g, '[]')
  .replace(/[?@&]|\b(params|this|ref|in|out) /g, '').replace(/</g, '{').replace(/>/g, '}').replace(/\s/g, '');

// Text split at commas that are in no bracket.
const split = text => {
  const parts = [];
  let depth = 0, last = 0;
  for (let i = 0; i < text.length; i++) {
    if ('<({['.includes(text[i])) depth++;
    if ('>)}]'.includes(text[i])) depth--;
    if (text[i] === ',' && depth === 0) { parts.push(text.slice(last, i)); last = i + 1; }
  }
  return text.trim() === '' ? [] : [...parts, text.slice(last)].map(p => p.trim());
};

// Names without their namespaces: Task<FlowModel>.
const short = code => code.replace(/\b(?:[A-Za-z]+\.)+(?=[A-Z])/g, '');

const typesOf = surface => {
  const types = [];
  for (const line of surface.split('\n')) {
    const type = line.match(/^ {4}public (?:(?:sealed|static|abstract|readonly|partial|ref) )*(class|struct|interface|enum|delegate) (.*)$/);
    if (type) {
      const name = type[2].match(/^\w+/)[0];
      types.push({ name, kind: type[1], declaration: line.trim(), members: [] });
      continue;
    }
    const text = line.trim();
    const at = types.at(-1);
    if (!at || text === '' || '{}['.includes(text[0])) continue;
    if (/^ {8}\S/.test(line)) {
      if (text.startsWith('where ') && at.members.length === 0) at.declaration += ' ' + text;
      else at.members.push(text);
    } else if (/^ {12}where /.test(line) && at.members.length) at.members[at.members.length - 1] = at.members.at(-1).replace(/ \{ \}$/, ` ${text}`);
  }
  return types;
};

const memberOf = (type, text) => {
  const owner = `Fokker.${type.name}${/^\S+ .*\b\w+<T>/.test(type.declaration.split(':')[0]) ? '`1' : ''}`;
  if (type.kind === 'enum') return { kind: 'Values', name: text.match(/^\w+/)[0], code: text.replace(/,$/, ''), ids: name => [`F:${owner}.${name}`] };
  const method = text.match(/^(?:public|protected)?\s*(.*?)(\w+)(<[\w, ]+>)?\((.*)\)(.*)$/);
  if (method && !/^\s*\{ (get|set|init)/.test(method[5]) && !/\{ (get|init)/.test(method[4])) {
    const [, , name, generic, args] = method;
    const made = name === type.name;
    const types = split(args).map(arg => met(arg.replace(/ = .*$/, '').replace(/ \w+$/, '')));
    return { kind: made ? 'Constructors' : 'Methods', name, code: text.replace(/ \{ \}/, '').replace(/;?$/, ';'), args: types, ids: n => [`M:${owner}.${made ? '#ctor' : n}${generic ? '``1' : ''}`] };
  }
  const name = text.includes(' this[') ? 'Item' : text.match(/(\w+)(?: \{| =|;)/)?.[1] ?? text;
  return { kind: 'Properties', name, code: text, ids: n => [`P:${owner}.${n}`, `F:${owner}.${n}`] };
};

// ---- the pages

/// The pages of the reference and the entries that the search has for them. `markup` sets code and formulas in a comment.
export const csharpReference = repository => {
  const comments = commentsOf(readFileSync(join(repository, 'src/CSharpApi/bin/Release/net10.0/Fokker.CSharp.xml'), 'utf8'));
  const types = typesOf(readFileSync(join(repository, 'tests/CSharpApi/PublicApi.approved.txt'), 'utf8'));
  const known = new Set(types.map(t => t.name));
  const problems = [];

  const linked = name => (known.has(name) ? `<a href="/@root/reference/csharp/${name}.html">${name}</a>` : name);
  const code = text => escaped(short(text)).replace(/\b[A-Z]\w+\b/g, linked);
  // What a comment refers to: a type, a member of a type, or something of .NET.
  const cref = target => {
    const [kind, path] = [target[0], target.slice(2).replace(/\(.*$/, '').replace(/[`].*$/, '')];
    const names = path.split('.');
    if (!path.startsWith('Fokker.')) return `<code>${escaped(names.at(-1))}</code>`;
    const [, type, member] = names;
    if (kind === 'T' || !member) return known.has(type) ? `<code>${linked(type)}</code>` : `<code>${escaped(type)}</code>`;
    return known.has(type) ? `<a href="/@root/reference/csharp/${type}.html#${member}"><code>${type}.${member}</code></a>` : `<code>${escaped(`${type}.${member}`)}</code>`;
  };
  const words = xml => (xml ?? '')
    .replace(/<(?:see|seealso) cref="([^"]+)"\s*\/>/g, (_, c) => cref(plain(c)))
    .replace(/<see langword="([^"]+)"\s*\/>/g, '<code>$1</code>')
    .replace(/<(?:paramref|typeparamref) name="([^"]+)"\s*\/>/g, '<code>$1</code>')
    .replace(/<c>([\s\S]*?)<\/c>/g, '<code>$1</code>')
    .replace(/<\/?para>/g, '')
    .replace(/`([^`<>\n]+)`/g, '<code>$1</code>')
    .replace(/\s+/g, ' ')
    .trim();

  const commentOf = (type, member) => {
    const candidates = [...comments.keys()].filter(key => member.ids(member.name).some(id => key === id || key.startsWith(id + '(') || key.startsWith(id + '`')));
    const fits = key => {
      const args = key.match(/\((.*)\)/)?.[1] ?? '';
      const given = split(args).map(met);
      return !member.args || (given.length === member.args.length && given.every((g, k) => g === member.args[k] || g.includes('`')));
    };
    const key = candidates.find(fits) ?? (candidates.length === 1 ? candidates[0] : undefined);
    const comment = comments.get(key);
    const inherited = comment?.match(/<inheritdoc(?: cref="([^"]+)")?\s*\/>/);
    // What an interface says of a member stands for the types that have it.
    const from = inherited && (inherited[1] ? plain(inherited[1]) : `M:Fokker.INamed\`1.${member.name}(System.String)`);
    return { comment: from ? comments.get(from) : comment, key: key ?? '' };
  };

  // The surface has T[] for arrays of every rank; the comment's name knows the rank. Long lists of parameters have a line each.
  const declared = (member, key) => {
    const ranks = split(key.match(/\((.*)\)/)?.[1] ?? '').map(type => type.match(/\[0:((?:,0:)+)\]$/)?.[1].replace(/0:/g, '') ?? '');
    const call = member.args && member.code.match(/^(.*?\b\w+(?:<[\w, ]+>)?\()(.*)(\)[^)]*)$/);
    if (!call) return member.code;
    const args = split(call[2]).map((arg, k) => (ranks[k] ? arg.replace('[]', `[${ranks[k]}]`) : arg));
    const line = `${call[1]}${args.join(', ')}${call[3]}`;
    return short(line).length <= 90 ? line : `${call[1]}\n    ${args.join(',\n    ')}${call[3]}`;
  };

  const entries = [];
  const pages = types.map(type => {
    const own = comments.get(`T:Fokker.${type.name}`) ?? comments.get(`T:Fokker.${type.name}\`1`);
    const summary = words(inside(own, 'summary'));
    if (summary === '') problems.push(`the C# reference: ${type.name} says nothing of itself`);
    const parameters = new Map(listed(own, 'param', 'name'));
    const page = `reference/csharp/${type.name}.html`;
    // Nobody looks for a constructor of nothing, or for what every object has.
    const isNoise = member => (member.kind === 'Constructors' && member.args.length === 0) || /^(Equals|GetHashCode|ToString)$/.test(member.name);
    const members = type.members.map(text => memberOf(type, text)).filter(member => !isNoise(member));
    const search = [];

    const block = member => {
      const { comment, key } = commentOf(type, member);
      // A record's parameters are its properties.
      const text = words(inside(comment, 'summary')) || words(parameters.get(member.name) ?? '');
      const arguments_ = member.kind === 'Constructors' && !listed(comment, 'param', 'name').length ? [...parameters] : listed(comment, 'param', 'name');
      const rows = arguments_.map(([name, said]) => `<dt><code>${escaped(name)}</code></dt><dd>${words(said)}</dd>`).join('');
      const raises = listed(comment, 'exception', 'cref').map(([type, said]) => `<dt>${cref(type)}</dt><dd>${words(said)}</dd>`).join('');
      const returns = words(inside(comment, 'returns'));
      const remarks = words(inside(comment, 'remarks'));
      search.push(member.name, text);
      if (text === '' && member.kind !== 'Constructors') problems.push(`the C# reference: ${type.name}.${member.name} says nothing of itself`);
      return `<section class="member" id="${member.name}"><pre><code>${code(declared(member, key))}</code></pre>`
        + (text ? `<p>${text}</p>` : '')
        + (rows ? `<dl>${rows}</dl>` : '')
        + (returns ? `<p class="returns">Returns: ${returns}</p>` : '')
        + (remarks ? `<p>${remarks}</p>` : '')
        + (raises ? `<dl class="raises">${raises}</dl>` : '')
        + '</section>';
    };

    const groups = ['Values', 'Constructors', 'Properties', 'Methods'].map(kind => {
      const of = members.filter(m => m.kind === kind);
      return of.length ? `<h2 id="${kind.toLowerCase()}">${kind}</h2>\n${of.map(block).join('\n')}` : '';
    }).join('\n');

    const remarks = words(inside(own, 'remarks'));
    const html = `<h1>${type.name}</h1>\n<p>${summary}</p>\n<pre><code>${code(type.declaration)}</code></pre>\n${remarks ? `<p>${remarks}</p>` : ''}\n${groups}`;
    entries.push({ uri: page, title: `${type.name} (C#)`, headings: members.map(m => m.name).join(' '), content: plain(`${summary} ${search.join(' ')}`.replace(/<[^>]*>/g, '')) });
    return { page, title: type.name, html };
  });

  const rows = types.map(type => `<tr><td><code>${linked(type.name)}</code></td><td>${words(inside(comments.get(`T:Fokker.${type.name}`), 'summary'))}</td></tr>`).join('\n');
  pages.push({
    page: 'reference/csharp/index.html',
    title: 'C# reference',
    html: `<h1>C# reference</h1>\n<p>After this page you can find every type of the package <code>Fokker.CSharp</code>, namespace <code>Fokker</code>. <a href="/@root/start-csharp.html">In C#</a> shows the ones to begin with.</p>\n<table><thead><tr><th>type</th><th>what it is</th></tr></thead><tbody>\n${rows}\n</tbody></table>`,
  });
  return { pages, entries, problems };
};

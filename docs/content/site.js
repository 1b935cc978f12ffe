// Search, the theme and the types of names under the pointer. Plain scripts: they run from a folder as well as from a server.

const root = document.documentElement.dataset.root;

// ---- search

const box = document.getElementById('search');
const found = document.getElementById('found');
const pages = window.searchIndex;
const search = new MiniSearch({
  fields: ['title', 'headings', 'content'],
  storeFields: ['uri', 'title', 'content'],
  searchOptions: { boost: { title: 6, headings: 3 }, prefix: true, fuzzy: 0.15, combineWith: 'AND', boostDocument: (_, __, page) => page.uri.startsWith('reference/') ? 1 : 4 },
});
search.addAll(pages);

const around = (content, terms) => {
  const at = Math.max(0, Math.min(...terms.map(t => content.toLowerCase().indexOf(t)).filter(i => i >= 0), content.length));
  // From the beginning of a word.
  return at <= 40 ? content.slice(0, at + 120) : content.slice(at - 40, at + 120).replace(/^\S*\s/, '… ');
};

const show = () => {
  const asked = box.value.trim();
  const hits = asked.length < 2 ? [] : search.search(asked).slice(0, 12);
  found.replaceChildren(...hits.map(hit => {
    const item = document.createElement('li');
    const link = item.appendChild(document.createElement('a'));
    link.href = root + hit.uri;
    link.append(hit.title);
    link.appendChild(document.createElement('small')).textContent = around(hit.content, hit.terms);
    return item;
  }));
  if (asked.length >= 2 && hits.length === 0) {
    const none = found.appendChild(document.createElement('li'));
    none.className = 'none';
    none.textContent = `Nothing here is about “${asked}”. The list of every path, loss and sampler is printed by: fokker list`;
  }
  found.hidden = found.children.length === 0;
  found.querySelector('a')?.classList.add('chosen');
};

box.addEventListener('input', show);
box.addEventListener('keydown', e => {
  const links = [...found.querySelectorAll('a')];
  const at = links.findIndex(a => a.classList.contains('chosen'));
  if (e.key === 'Enter' && at >= 0) links[at].click();
  if (e.key === 'Escape') { box.value = ''; show(); }
  const next = { ArrowDown: 1, ArrowUp: -1 }[e.key];
  if (next && links.length) {
    e.preventDefault();
    links[at].classList.remove('chosen');
    links[(at + next + links.length) % links.length].classList.add('chosen');
  }
});
document.addEventListener('keydown', e => {
  if (e.key === '/' && document.activeElement !== box) { e.preventDefault(); box.focus(); }
});
document.addEventListener('click', e => { if (!found.contains(e.target) && e.target !== box) found.hidden = true; });

const asked = new URLSearchParams(location.search).get('q');
if (asked) { box.value = asked; show(); }

// ---- the theme: as the system is, light, dark

document.getElementById('theme').addEventListener('click', () => {
  const next = { '': 'light', light: 'dark', dark: '' }[document.documentElement.dataset.theme];
  document.documentElement.dataset.theme = next;
  localStorage.setItem('theme', next);
});

// ---- what a name is

for (const name of document.querySelectorAll('[data-fsdocs-tip]')) {
  const tip = document.getElementById(name.dataset.fsdocsTip);
  if (!tip?.showPopover) continue;
  name.addEventListener('mouseenter', () => {
    tip.showPopover();
    const at = name.getBoundingClientRect();
    tip.style.left = `${Math.max(8, Math.min(at.left, innerWidth - tip.offsetWidth - 8))}px`;
    tip.style.top = `${at.bottom + tip.offsetHeight + 8 > innerHeight ? at.top - tip.offsetHeight - 4 : at.bottom + 4}px`;
  });
  name.addEventListener('mouseleave', () => tip.hidePopover());
}

// ---- the menu: its own page in view. Only the menu scrolls, and only where it is a column of its own.

const menu = document.getElementById('menu');
const here = menu.querySelector('.active.nav-item');
if (here && getComputedStyle(menu).position === 'sticky') menu.scrollTop = here.offsetTop - menu.offsetTop - menu.clientHeight / 2;

// A chart of a table that stands on the same page, so that the two cannot differ: a line for each row, both axes logarithmic, errors against evaluations unless others are said.
// `<div data-chart="condot vp" data-rows="euler heun"></div>` draws a panel for each group of columns named `condot 10`, `condot 20`, …; `data-x="dimension" data-y="distance"` names the axes.

const colours = ['one', 'two', 'three', 'four', 'five'].map(name => `var(--${name})`);
const text = html => html.replace(/<[^>]*>/g, '').trim();
const px = v => v.toFixed(1).replace(/\.0$/, '');

const tableOf = (html, group) => {
  for (const [, table] of html.matchAll(/<table[^>]*>([\s\S]*?)<\/table>/g)) {
    const rows = [...table.matchAll(/<tr[^>]*>([\s\S]*?)<\/tr>/g)].map(([, row]) => [...row.matchAll(/<t[hd][^>]*>([\s\S]*?)<\/t[hd]>/g)].map(([, cell]) => text(cell)));
    if (rows[0]?.some(cell => new RegExp(`^${group} \\d+$`).test(cell))) return rows;
  }
  return undefined;
};

const panel = (rows, group, names, along, up) => {
  const columns = rows[0].map((cell, k) => [k, Number(cell.match(new RegExp(`^${group} (\\d+)$`))?.[1])]).filter(([, n]) => n > 0);
  const lines = names.map(name => ({
    name,
    points: columns.map(([k, n]) => [n, parseFloat(rows.find(row => row[0] === name)?.[k])]).filter(([, error]) => error > 0),
  })).filter(line => line.points.length);
  const all = lines.flatMap(line => line.points);
  const [width, height, left, right, top, foot] = [380, 290, 44, 82, 24, 38];
  const xs = all.map(([x]) => Math.log10(x)), ys = all.map(([, y]) => Math.log10(y));
  const [x0, x1, y0, y1] = [Math.min(...xs), Math.max(...xs), Math.floor(Math.min(...ys)), Math.ceil(Math.max(...ys))];
  const at = ([x, y]) => [left + (Math.log10(x) - x0) / (x1 - x0) * (width - left - right), height - foot - (Math.log10(y) - y0) / (y1 - y0) * (height - foot - top)];

  const ticks = columns.map(([, n]) => {
    const x = px(at([n, 1])[0]);
    return `<line class="tick" x1="${x}" x2="${x}" y1="${top}" y2="${height - foot}"/><text x="${x}" y="${height - foot + 16}" text-anchor="middle">${n}</text>`;
  });
  for (let k = y0; k <= y1; k++) {
    const y = px(at([10, 10 ** k])[1]);
    ticks.push(`<line class="tick" x1="${left}" x2="${width - right}" y1="${y}" y2="${y}"/><text x="${left - 6}" y="${Number(y) + 4}" text-anchor="end">10<tspan dy="-5" font-size="9">${String(k).replace('-', '−')}</tspan></text>`);
  }

  // Names at the ends of their lines, pushed apart where lines end together.
  const ends = lines.map((line, k) => ({ k, y: at(line.points.at(-1))[1] })).sort((a, b) => a.y - b.y);
  for (let j = 1; j < ends.length; j++) ends[j].y = Math.max(ends[j].y, ends[j - 1].y + 13);
  // And up again where they would leave the panel.
  for (let j = ends.length - 1; j >= 0; j--) ends[j].y = Math.min(ends[j].y, j === ends.length - 1 ? height - foot : ends[j + 1].y - 13);
  const drawn = lines.map((line, k) => {
    const points = line.points.map(at);
    const dash = k >= colours.length ? ' stroke-dasharray="5 3"' : '';
    return `<polyline class="curve"${dash} stroke="${colours[k % colours.length]}" points="${points.map(p => p.map(px).join()).join(' ')}"/>`
      + points.map(([x, y]) => `<circle cx="${px(x)}" cy="${px(y)}" r="2.6" fill="${colours[k % colours.length]}"/>`).join('');
  });
  const names_ = ends.map(({ k, y }) => `<text x="${width - right + 8}" y="${px(y + 4)}" style="fill:${colours[k % colours.length]}">${lines[k].name}</text>`);
  return `<svg viewBox="0 0 ${width} ${height}" role="img" aria-label="${up} against ${along} on ${group}">${ticks.join('')}<text x="${left}" y="12">${up} on ${group}</text><text x="${(left + width - right) / 2}" y="${height - 4}" text-anchor="middle">${along}</text>${drawn.join('')}${names_.join('')}</svg>`;
};

/// The page with its charts drawn; `problem` hears of one that has no table.
export const charted = (html, problem) => html.replace(/<div data-chart="([^"]+)" data-rows="([^"]+)"(?: data-x="([^"]+)")?(?: data-y="([^"]+)")?><\/div>/g, (whole, groups, names, along = 'evaluations', up = 'error') => {
  const drawn = groups.split(' ').map(group => {
    const rows = tableOf(html, group);
    if (!rows) problem(`a chart of ${group} has no table`);
    return rows ? panel(rows, group, names.split(' '), along, up) : '';
  });
  return `<div class="panels">${drawn.join('')}</div>`;
});

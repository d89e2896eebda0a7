// Tables sorted by a click on a heading: ascending, descending, original order. Empty cells stay at the end.
// On a narrow screen each row is a block of lines, and each line begins with the heading of its column.
'use strict';
for (const table of document.querySelectorAll('.scroll > table')) {
  if (!table.tHead) continue;
  const names = [...table.tHead.rows[0].cells].map((head) => head.textContent.trim());
  for (const row of table.tBodies[0].rows) {
    [...row.cells].forEach((cell, column) => {
      cell.dataset.label = names[column] ?? '';
      cell.classList.toggle('blank', ['', '\u2013', '\u2014'].includes(cell.textContent.trim()) && !cell.children.length);
    });
  }
  table.classList.add('stacked');
}
for (const table of document.querySelectorAll('table.sortable')) {
  const heads = [...table.tHead.rows[0].cells], body = table.tBodies[0], rows = [...body.rows];
  const next = { ascending: 'descending', descending: null };
  heads.forEach((head, column) => {
    if (!head.textContent) return;
    const button = document.createElement('button');
    button.type = 'button';
    button.append(...head.childNodes);
    head.append(button);
    button.addEventListener('click', () => {
      const before = head.getAttribute('aria-sort'), order = before in next ? next[before] : 'ascending';
      for (const other of heads) other.removeAttribute('aria-sort');
      if (order) head.setAttribute('aria-sort', order);
      body.append(...(order ? sorted(rows, column, order === 'ascending' ? 1 : -1) : rows));
    });
  });
}

function sorted(rows, column, direction) {
  const keyed = rows.map((row) => {
    const { dataset, textContent } = row.cells[column];
    return [dataset.key ?? textContent.trim(), row];
  });
  const compare = ([a], [b]) => {
    if (a === '' || b === '') return (a === '') - (b === '');
    const order = isNaN(a) || isNaN(b) ? a.localeCompare(b) : a - b;
    return direction * order;
  };
  return keyed.sort(compare).map(([, row]) => row);
}

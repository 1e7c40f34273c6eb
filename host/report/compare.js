// compare.js - tables of class sortable: every head becomes a button. Rows are sorted by their
// cells' data-v where there is one, else by their text; empty cells come last.
'use strict';

// What a row is sorted by in column i.
function key(row, i) {
  const cell = row.cells[i], v = cell.dataset.v;
  return v === undefined ? cell.textContent : v === '' ? NaN : +v;
}

function less(a, b) {
  return typeof a === 'string' ? a.localeCompare(b, undefined, {numeric: true}) : a - b;
}

function sort(body, i, up) {
  [...body.rows].map(row => [key(row, i), row]).sort(([a], [b]) => {
    const noA = a !== a, noB = b !== b; // NaN
    return noA || noB ? noA - noB : up ? less(a, b) : less(b, a);
  }).forEach(([, row]) => body.append(row));
}

document.querySelectorAll('table.sortable').forEach(table => {
  const heads = [...table.tHead.rows[0].cells];
  heads.forEach((head, i) => {
    const button = document.createElement('button');
    button.type = 'button';
    button.append(...head.childNodes);
    head.append(button);
    button.addEventListener('click', () => {
      const up = head.getAttribute('aria-sort') !== 'ascending';
      heads.forEach(other => other.removeAttribute('aria-sort'));
      head.setAttribute('aria-sort', up ? 'ascending' : 'descending');
      sort(table.tBodies[0], i, up);
    });
  });
});

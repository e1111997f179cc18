const rows = [...document.querySelectorAll('article')];
const search = document.querySelector('input[type=search]');
const boxes = [...document.querySelectorAll('form input[type=checkbox]')];
const count = document.querySelector('output');

function filter() {
  const words = search.value.toLowerCase().split(/\s+/).filter(Boolean);
  const kinds = new Set(boxes.filter((box) => box.checked).map((box) => box.value));
  let shown = 0;
  for (const row of rows) {
    const text = row.dataset.text;
    row.hidden = !(kinds.has(row.dataset.verdict) && words.every((word) => text.includes(word)));
    shown += row.hidden ? 0 : 1;
  }
  for (const part of document.querySelectorAll('section')) {
    part.hidden = ![...part.querySelectorAll('article')].some((row) => !row.hidden);
  }
  count.textContent = `${shown} of ${rows.length}`;
}
search.addEventListener('input', filter);
boxes.forEach((box) => box.addEventListener('change', filter));

let at = Math.max(0, rows.findIndex((row) => '#' + row.id === location.hash));
function show(to) {
  rows[at].classList.remove('shown');
  at = Math.min(Math.max(to, 0), rows.length - 1);
  rows[at].classList.add('shown');
  history.replaceState(null, '', '#' + rows[at].id);
  scrollTo(0, 0);
}
const STEPS = { ArrowRight: 1, ArrowDown: 1, PageDown: 1, ' ': 1, ArrowLeft: -1, ArrowUp: -1, PageUp: -1 };
if (new URLSearchParams(location.search).has('lecture')) {
  document.documentElement.classList.add('lecture');
  show(at);
  addEventListener('keydown', (key) => {
    if (key.key === 'Home') show(0);
    else if (key.key === 'End') show(rows.length - 1);
    else if (key.key in STEPS) { key.preventDefault(); show(at + STEPS[key.key]); }
  });
  addEventListener('click', (click) => { if (!click.target.closest('a, summary, pre')) show(at + (click.clientX < innerWidth / 3 ? -1 : 1)); });
}

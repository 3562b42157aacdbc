// Narrows the list of keywords while the reader types; the list itself is plain HTML.
const field = document.getElementById('find');
const found = document.getElementById('found');
const entries = [...document.querySelectorAll('.entry')];

field.addEventListener('input', () => {
  const wanted = field.value.trim().toLowerCase();
  let count = 0;
  for (const entry of entries) {
    const hit = entry.querySelector('dt').textContent.toLowerCase().includes(wanted);
    entry.hidden = !hit;
    if (hit) count += 1;
  }
  for (const group of document.querySelectorAll('.group')) {
    group.hidden = !group.querySelector('.entry:not([hidden])');
  }
  found.textContent = wanted ? (count ? `${count} found` : 'No such keyword') : '';
});

// The page is complete without this file; it only narrows the list while you type.
const filter = document.getElementById('filter');
const count = document.getElementById('count');
const groups = [...document.querySelectorAll('.group')].map((node) => ({
  node,
  cards: [...node.querySelectorAll('dl > div')].map((card) => ({ card, text: card.textContent.toLowerCase() })),
}));
const total = groups.reduce((sum, group) => sum + group.cards.length, 0);

function apply() {
  const wanted = filter.value.trim().toLowerCase();
  let shown = 0;
  for (const { node, cards } of groups) {
    let inGroup = 0;
    for (const { card, text } of cards) {
      card.hidden = !text.includes(wanted);
      if (!card.hidden) inGroup += 1;
    }
    node.hidden = inGroup === 0;
    shown += inGroup;
  }
  count.textContent = shown ? `${shown} of ${total} words shown` : 'No keyword matches.';
}

filter.addEventListener('input', apply);
document.querySelector('nav').addEventListener('click', (event) => {
  if (event.target.closest('a') && filter.value) {
    filter.value = '';
    apply();
  }
});
apply();

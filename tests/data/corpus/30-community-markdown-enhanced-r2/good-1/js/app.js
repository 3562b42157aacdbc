const input = document.getElementById('markdown-input');
const output = document.getElementById('markdown-output');
const source = document.getElementById('markdown-source');
const badge = document.getElementById('markdown-word-count');
const notice = document.getElementById('notice');
const tabs = [...document.querySelectorAll('#markdown-tabs [role="tab"]')];

const splitWords = (text) => text.split(/\s+/).filter(Boolean);

/* Turns converter output into a fragment without active content. */
function toSafeFragment(html) {
  const doc = new DOMParser().parseFromString(html, 'text/html');
  doc.querySelectorAll('script, style, iframe, object, embed, form').forEach((el) => el.remove());
  doc.body.querySelectorAll('*').forEach((el) => {
    for (const { name, value } of [...el.attributes]) {
      if (name.startsWith('on') || /^\s*javascript:/i.test(value)) el.removeAttribute(name);
    }
  });
  const fragment = document.createDocumentFragment();
  fragment.append(...doc.body.childNodes);
  return fragment;
}

/* Text of the rendered page, with block elements kept apart from each other. */
function readableText(root) {
  const copy = root.cloneNode(true);
  copy.querySelectorAll('p, li, h1, h2, h3, h4, h5, h6, pre, blockquote, td, th, br')
    .forEach((el) => el.after('\n'));
  return copy.textContent;
}

function updateWordCount(markdown) {
  const count = splitWords(readableText(output)).length;
  badge.textContent = `${count} ${count === 1 ? 'word' : 'words'}`;
  badge.title = `Counted in the rendered text (${splitWords(markdown).length} in the Markdown, marks included)`;
}

function render(markdown) {
  source.textContent = markdown;
  output.replaceChildren(toSafeFragment(marked.parse(markdown)));
  if (window.hljs) output.querySelectorAll('pre code').forEach((block) => hljs.highlightElement(block));
  updateWordCount(markdown);
}

function showTab(chosen) {
  tabs.forEach((tab) => {
    const active = tab === chosen;
    tab.setAttribute('aria-selected', String(active));
    tab.tabIndex = active ? 0 : -1;
    document.getElementById(tab.getAttribute('aria-controls')).hidden = !active;
  });
}

tabs.forEach((tab, index) => {
  tab.addEventListener('click', () => showTab(tab));
  tab.addEventListener('keydown', (event) => {
    if (event.key !== 'ArrowLeft' && event.key !== 'ArrowRight') return;
    const next = tabs[(index + 1) % tabs.length];
    showTab(next);
    next.focus();
  });
});

input.addEventListener('input', () => render(input.value));

async function start() {
  if (!window.marked) {
    notice.textContent = 'The Markdown library could not be loaded. Please check the connection and reload.';
    notice.hidden = false;
    return;
  }
  try {
    const response = await fetch('input.md');
    if (!response.ok) throw new Error(`status ${response.status}`);
    input.value = await response.text();
  } catch (error) {
    notice.textContent = `input.md could not be read (${error.message}). You can still type below.`;
    notice.hidden = false;
  }
  render(input.value);
}

start();

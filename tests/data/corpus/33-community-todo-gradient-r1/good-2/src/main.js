import { TaskStore } from './store.js';

const store = new TaskStore();
const form = document.getElementById('new-task');
const field = document.getElementById('task-text');
const warning = document.getElementById('warning');
const list = document.getElementById('tasks');
const summary = document.getElementById('summary');

function element(tag, properties, ...children) {
  const node = Object.assign(document.createElement(tag), properties);
  node.append(...children);
  return node;
}

function taskRow({ id, title, done }) {
  const box = element('input', { type: 'checkbox', checked: done, id: `done-${id}` });
  box.addEventListener('change', () => {
    store.setDone(id, box.checked);
    document.getElementById(box.id)?.focus();
  });

  const label = element('label', { htmlFor: box.id, textContent: title });

  const remove = element('button', { type: 'button', className: 'delete', textContent: 'Delete' });
  remove.setAttribute('aria-label', `Delete ${title}`);
  remove.addEventListener('click', () => {
    store.remove(id);
    field.focus();
  });

  return element('li', { className: done ? 'done' : '' }, box, label, remove);
}

function draw() {
  list.replaceChildren(...store.all.map(taskRow));
  const open = store.all.filter((task) => !task.done).length;
  summary.textContent = store.all.length
    ? `${open} of ${store.all.length} still to do`
    : 'Your list is empty.';
}

form.addEventListener('submit', (event) => {
  event.preventDefault();
  const title = field.value.trim();
  warning.textContent = title ? '' : 'An empty task cannot be added.';
  if (title) {
    store.add(title);
    field.value = '';
  }
  field.focus();
});

field.addEventListener('input', () => { warning.textContent = ''; });
store.addEventListener('change', draw);
draw();

const STORAGE_KEY = 'todo-tasks';

const form = document.querySelector('#task-form');
const input = document.querySelector('#task-input');
const hint = document.querySelector('#task-hint');
const list = document.querySelector('#task-list');
const emptyNote = document.querySelector('#empty-note');

let tasks = load();

function load() {
  try {
    const saved = JSON.parse(localStorage.getItem(STORAGE_KEY));
    return Array.isArray(saved) ? saved : [];
  } catch {
    return [];
  }
}

function save() {
  try {
    localStorage.setItem(STORAGE_KEY, JSON.stringify(tasks));
  } catch {
    // Storage may be blocked; the list then lasts until the page is closed.
  }
}

function createItem(task) {
  const item = document.createElement('li');
  item.className = 'list-group-item d-flex justify-content-between align-items-center gap-3';

  const label = document.createElement('span');
  label.className = 'text-break';
  label.textContent = task.text;

  const remove = document.createElement('button');
  remove.type = 'button';
  remove.className = 'btn btn-sm btn-outline-danger delete-btn';
  remove.textContent = 'Delete';
  remove.setAttribute('aria-label', `Delete ${task.text}`);
  remove.addEventListener('click', () => {
    tasks = tasks.filter((other) => other !== task);
    save();
    render();
    input.focus();
  });

  item.append(label, ' ', remove);
  return item;
}

function render() {
  list.replaceChildren(...tasks.map(createItem));
  emptyNote.hidden = tasks.length > 0;
}

form.addEventListener('submit', (event) => {
  event.preventDefault();
  const text = input.value.trim();
  if (text === '') {
    hint.textContent = 'Please type a task first.';
    input.focus();
    return;
  }
  hint.textContent = '';
  tasks.push({ text });
  save();
  render();
  input.value = '';
  input.focus();
});

input.addEventListener('input', () => {
  hint.textContent = '';
});

render();

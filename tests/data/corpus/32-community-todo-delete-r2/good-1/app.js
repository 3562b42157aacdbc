const STORE = 'todo.tasks';
const input = document.querySelector('#task-input');
const addButton = document.querySelector('#add-btn');
const list = document.querySelector('#task-list');
const emptyNote = document.querySelector('#empty-note');

let tasks = readTasks();

function readTasks() {
  try {
    const saved = JSON.parse(localStorage.getItem(STORE));
    return Array.isArray(saved) ? saved : [];
  } catch {
    return [];
  }
}

function saveTasks() {
  try {
    localStorage.setItem(STORE, JSON.stringify(tasks));
  } catch {
    // storage blocked: the list still works for this visit
  }
}

function nextId() {
  return tasks.reduce((highest, task) => Math.max(highest, task.id), 0) + 1;
}

function addTask() {
  const text = input.value.trim();
  if (text) {
    tasks.push({ id: nextId(), text });
    saveTasks();
    draw();
  }
  input.value = '';
  input.focus();
}

function deleteTask(id) {
  tasks = tasks.filter((task) => task.id !== id);
  saveTasks();
  draw();
}

function taskRow(task) {
  const row = document.createElement('li');
  row.className = 'list-group-item d-flex justify-content-between align-items-center gap-3';

  const label = document.createElement('span');
  label.className = 'text-break';
  label.textContent = task.text;

  const remove = document.createElement('button');
  remove.type = 'button';
  remove.className = 'btn btn-sm btn-outline-danger delete-btn';
  remove.textContent = 'Delete';
  remove.setAttribute('aria-label', `Delete ${task.text}`);
  remove.addEventListener('click', () => deleteTask(task.id));

  row.append(label, remove);
  return row;
}

function draw() {
  list.replaceChildren(...tasks.map(taskRow));
  emptyNote.hidden = tasks.length > 0;
}

addButton.addEventListener('click', addTask);
input.addEventListener('keydown', (event) => {
  if (event.key === 'Enter' && !event.isComposing) addTask();
});

draw();

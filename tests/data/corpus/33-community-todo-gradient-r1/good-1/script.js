(function () {
  const KEY = 'gradient-todos';
  const form = document.getElementById('new-todo');
  const field = document.getElementById('todo-text');
  const list = document.getElementById('todos');
  const summary = document.getElementById('summary');
  const template = document.getElementById('todo-template');

  // Each todo is { id, text, completed }.
  let todos = [];
  try {
    todos = JSON.parse(localStorage.getItem(KEY)) || [];
  } catch (error) {
    console.warn('Saved tasks could not be read.', error);
  }

  function update() {
    try {
      localStorage.setItem(KEY, JSON.stringify(todos));
    } catch (error) {
      console.warn('Tasks could not be saved.', error);
    }
    draw();
  }

  function draw() {
    list.textContent = '';
    for (const todo of todos) {
      const item = template.content.firstElementChild.cloneNode(true);
      item.dataset.id = todo.id;
      item.classList.toggle('completed', todo.completed);
      item.querySelector('.text').textContent = todo.text;
      item.querySelector('.done').checked = todo.completed;
      item.querySelector('.delete').setAttribute('aria-label', 'Delete ' + todo.text);
      list.append(item);
    }
    const open = todos.filter((todo) => !todo.completed).length;
    summary.textContent = todos.length === 0
      ? 'Nothing to do yet.'
      : open + ' of ' + todos.length + ' still to do';
  }

  function idOf(element) {
    return Number(element.closest('.todo').dataset.id);
  }

  form.addEventListener('submit', function (event) {
    event.preventDefault();
    const text = field.value.trim();
    if (!text) return;
    const id = todos.reduce((highest, todo) => Math.max(highest, todo.id), 0) + 1;
    todos.push({ id: id, text: text, completed: false });
    field.value = '';
    update();
  });

  list.addEventListener('change', function (event) {
    if (!event.target.matches('.done')) return;
    const id = idOf(event.target);
    const todo = todos.find((entry) => entry.id === id);
    todo.completed = event.target.checked;
    update();
    list.querySelector('[data-id="' + id + '"] .done').focus();
  });

  list.addEventListener('click', function (event) {
    if (!event.target.matches('.delete')) return;
    const id = idOf(event.target);
    todos = todos.filter((entry) => entry.id !== id);
    update();
    field.focus();
  });

  draw();
})();

const KEY = 'todo-list-app.tasks';

/** Keeps the tasks and writes every change to localStorage. */
export class TaskStore extends EventTarget {
  #tasks = [];

  constructor() {
    super();
    this.#read();
    // another tab changed the list
    window.addEventListener('storage', (event) => {
      if (event.key === KEY || event.key === null) {
        this.#read();
        this.#announce();
      }
    });
  }

  get all() {
    return this.#tasks;
  }

  add(title) {
    const id = `${Date.now().toString(36)}-${Math.random().toString(36).slice(2, 8)}`;
    this.#change([...this.#tasks, { id, title, done: false }]);
  }

  setDone(id, done) {
    this.#change(this.#tasks.map((task) => (task.id === id ? { ...task, done } : task)));
  }

  remove(id) {
    this.#change(this.#tasks.filter((task) => task.id !== id));
  }

  #change(tasks) {
    this.#tasks = tasks;
    try {
      localStorage.setItem(KEY, JSON.stringify(tasks));
    } catch {
      // storage is full or switched off: the list still works until the page is closed
    }
    this.#announce();
  }

  #read() {
    try {
      const saved = JSON.parse(localStorage.getItem(KEY));
      this.#tasks = Array.isArray(saved) ? saved.filter((task) => task && typeof task.title === 'string') : [];
    } catch {
      this.#tasks = [];
    }
  }

  #announce() {
    this.dispatchEvent(new Event('change'));
  }
}

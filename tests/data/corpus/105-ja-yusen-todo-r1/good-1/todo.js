const STORE = 'bunkasai-todo';
const RANK = { '高': 0, '中': 1, '低': 2 };
const CLASS = { '高': 'high', '中': 'middle', '低': 'low' };
const $ = id => document.getElementById(id);

let items = load();   // 追加した順のまま持っておき、表示のときだけ並べ替える

function load() {
  try {
    const saved = JSON.parse(localStorage.getItem(STORE));
    return Array.isArray(saved) ? saved.filter(i => i && typeof i.text === 'string' && i.priority in RANK) : [];
  } catch {
    return [];
  }
}

function save() {
  localStorage.setItem(STORE, JSON.stringify(items));
}

function sorted() {
  // sort は安定なので、同じ優先度なら追加した順が残る
  return [...items].sort((a, b) => (a.done - b.done) || (RANK[a.priority] - RANK[b.priority]));
}

function row(item) {
  const li = document.createElement('li');
  li.className = CLASS[item.priority] + (item.done ? ' done' : '');

  const check = document.createElement('input');
  check.type = 'checkbox';
  check.checked = item.done;
  check.setAttribute('aria-label', `「${item.text}」を完了にする`);
  check.addEventListener('change', () => { item.done = check.checked; update(); });

  const label = document.createElement('span');
  label.className = 'label';
  label.textContent = item.priority;

  const text = document.createElement('span');
  text.className = 'text';
  text.textContent = item.text;

  const remove = document.createElement('button');
  remove.type = 'button';
  remove.textContent = '削除';
  remove.addEventListener('click', () => { items = items.filter(i => i !== item); update(); });

  li.append(check, label, text, remove);
  return li;
}

function render() {
  const filter = $('filter').value;
  const visible = sorted().filter(i => filter === 'すべて' || i.done === (filter === '完了'));
  $('list').replaceChildren(...visible.map(row));
  $('empty').textContent = items.length === 0 ? '用件はまだありません'
    : visible.length === 0 ? 'この条件に合う用件はありません' : '';
  $('remaining').textContent = `残り ${items.filter(i => !i.done).length} 件`;
  $('clear').disabled = !items.some(i => i.done);
}

function update() {
  save();
  render();
}

function add() {
  const text = $('task').value.trim();
  if (text === '') {
    $('message').textContent = '用件を入力してください';
    $('task').focus();
    return;
  }
  items.push({ text, priority: $('priority').value, done: false });
  $('message').textContent = '';
  $('task').value = '';
  $('task').focus();
  update();
}

$('add').addEventListener('click', add);
$('task').addEventListener('keydown', event => {
  // 変換中の Enter は確定のためのもの(keyCode 229 は Safari 向け)
  if (event.key !== 'Enter' || event.isComposing || event.keyCode === 229) return;
  event.preventDefault();
  add();
});
$('filter').addEventListener('change', render);
$('clear').addEventListener('click', () => {
  if (!confirm('完了した用件をすべて削除しますか?')) return;
  items = items.filter(i => !i.done);
  update();
});

render();

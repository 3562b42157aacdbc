import { Calculator } from './calculator.js';

const calculator = new Calculator();
const display = document.querySelector('#display');
const note = document.querySelector('#note');
const pads = document.querySelector('#pads');

function press(key) {
  calculator.press(key);
  display.textContent = calculator.text;
  note.textContent = calculator.note || '\u00a0';
}

pads.addEventListener('click', (event) => {
  const button = event.target.closest('button');
  if (button) press(button.value);
});

// keeps the focus off keys clicked with a mouse, so Enter stays "="
pads.addEventListener('mousedown', (event) => event.preventDefault());

document.querySelector('#unit').addEventListener('change', (event) => {
  calculator.unit = event.target.value;
});

const keyboard = { Enter: '=', Escape: 'clear', Backspace: 'back', ',': '.' };

document.addEventListener('keydown', (event) => {
  if (event.ctrlKey || event.altKey || event.metaKey) return;
  if (event.key === 'Enter' && event.target.closest('button')) return;
  const key = keyboard[event.key] ?? event.key;
  if (!/^([\d.=+\-*/()]|clear|back)$/.test(key)) return;
  event.preventDefault();
  press(key);
});

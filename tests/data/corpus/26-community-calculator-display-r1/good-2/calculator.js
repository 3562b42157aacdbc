'use strict';

const display = document.querySelector('#display');
const tape = document.querySelector('#tape');

const rank = { '+': 1, '-': 1, '*': 2, '/': 2 };
const calculate = {
  '+': (a, b) => a + b,
  '-': (a, b) => a - b,
  '*': (a, b) => a * b,
  '/': (a, b) => {
    if (b === 0) throw new Error('Cannot divide by zero');
    return a / b;
  },
};

// Operands stand at even places of the list, operators at odd ones: ["2", "+", "-3", "*", "4"]
let parts = [];
let finished = false; // the list is the result of "="
let failure = '';
let answer = { full: '', short: '' }; // calculated on with 15 digits, shown with 12

const operandIsOpen = () => parts.length % 2 === 1;
const last = () => parts[parts.length - 1];
const shown = () => parts.map((part) => (part === answer.full ? answer.short : part)).join(' ');

function reset() {
  parts = [];
  finished = false;
  failure = '';
  tape.textContent = '';
}

function typeDigit(digit) {
  if (finished) reset();
  if (!operandIsOpen()) return parts.push(digit);
  if (last().replace(/\D/g, '').length >= 15) return;
  const bare = last() === '0' || last() === '-0';
  parts.push((bare ? parts.pop().replace('0', '') : parts.pop()) + digit);
}

function typePoint() {
  if (finished) reset();
  if (!operandIsOpen()) parts.push('0.');
  else if (last() === '-') parts.push(parts.pop() + '0.');
  else if (!last().includes('.')) parts.push(parts.pop() + '.');
}

function typeOperator(operator) {
  finished = false;
  if (last() === '-' && operandIsOpen()) {
    // only a sign so far: another operator takes it back
    if (operator === '-') return;
    parts.pop();
  }
  if (operandIsOpen()) return parts.push(operator);
  if (parts.length === 0) return operator === '-' ? parts.push('-') : parts.push('0', operator);
  const signFits = operator === '-' && (last() === '*' || last() === '/');
  if (signFits) parts.push('-');
  else parts[parts.length - 1] = operator;
}

function evaluate(list) {
  const numbers = [Number(list[0])];
  const waiting = [];
  const reduce = () => {
    const b = numbers.pop();
    const a = numbers.pop();
    numbers.push(calculate[waiting.pop()](a, b));
  };
  for (let i = 1; i < list.length; i += 2) {
    while (waiting.length && rank[waiting[waiting.length - 1]] >= rank[list[i]]) reduce();
    waiting.push(list[i]);
    numbers.push(Number(list[i + 1]));
  }
  while (waiting.length) reduce();
  return numbers[0];
}

function equals() {
  if (last() === '-' && operandIsOpen()) parts.pop();
  if (parts.length && !operandIsOpen()) parts.pop();
  if (!parts.length) return;
  tape.textContent = shown() + ' =';
  try {
    const value = evaluate(parts);
    if (!Number.isFinite(value)) throw new Error('Number too large');
    const round = (digits) => String(Number(value.toPrecision(digits)));
    answer = { full: round(15), short: round(12) }; // 0.1 + 0.2 gives 0.3
    parts = [answer.full];
    finished = true;
  } catch (error) {
    parts = [];
    failure = error.message;
  }
}

function eraseOne() {
  if (finished) return reset();
  if (!parts.length) return;
  const shorter = parts.pop().slice(0, -1);
  if (shorter) parts.push(shorter);
}

function press(key) {
  if (failure) reset();
  if (/^\d$/.test(key)) typeDigit(key);
  else if (key === '.') typePoint();
  else if (key in rank) typeOperator(key);
  else if (key === '=') equals();
  else if (key === 'Backspace') eraseOne();
  else if (key === 'Escape') reset();
  display.textContent = failure || shown() || '0';
  display.scrollLeft = display.scrollWidth;
}

const keys = document.querySelector('.keys');

keys.addEventListener('click', (event) => {
  const button = event.target.closest('button');
  if (button) press(button.dataset.key);
});

// A mouse click leaves the focus where it was, so that Enter means "=" afterwards.
keys.addEventListener('mousedown', (event) => event.preventDefault());

document.addEventListener('keydown', (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  let key = event.key === ',' ? '.' : event.key;
  if (key === 'Enter') {
    if (event.target.closest('button')) return; // the focused button is pressed as usual
    key = '=';
  }
  if (/^[\d.=+\-*/]$|^Backspace$|^Escape$/.test(key)) {
    event.preventDefault();
    press(key);
  }
});

'use strict';

const display = document.getElementById('display');

// What has been typed so far, e.g. "12.5*-3". An empty string shows as 0.
let expression = '';
// True while the display holds a finished result (or an error message).
let finished = false;

function show(text) {
  display.textContent = text;
  display.scrollLeft = display.scrollWidth;
}

function refresh() {
  show(expression === '' ? '0' : expression);
}

function currentNumber() {
  const match = expression.match(/\d+\.?\d*$/);
  return match ? match[0] : '';
}

function typeDigit(digit) {
  if (finished) clearAll();
  if (currentNumber() === '0') expression = expression.slice(0, -1);
  expression += digit;
  refresh();
}

function typePoint() {
  if (finished) clearAll();
  const number = currentNumber();
  if (number.includes('.')) return;
  expression += number === '' ? '0.' : '.';
  refresh();
}

function typeOperator(op) {
  if (expression === '-' && op === '-') return;
  finished = false;
  if (expression === '' || expression === '-') {
    expression = op === '-' ? '-' : '0' + op;
  } else if (op === '-' && /[*/]$/.test(expression)) {
    expression += '-'; // a sign for the next number: 5*-3
  } else {
    expression = expression.replace(/[-+*/]+$/, '') + op;
  }
  refresh();
}

function equals() {
  const source = expression.replace(/[-+*/]+$/, '');
  if (source === '') return;
  const value = evaluate(source);
  finished = true;
  if (Number.isFinite(value)) {
    expression = String(Number(value.toPrecision(12)));
    refresh();
  } else {
    expression = '';
    show('Error');
  }
}

// Splits into signed numbers and operators; products first, then sums.
function evaluate(source) {
  const pattern = /(-?\d+\.?\d*(?:e[+-]?\d+)?)([-+*/]?)/g;
  let sum = 0;
  let product = null;
  let pending = '+';
  for (const [, digits, next] of source.matchAll(pattern)) {
    const number = Number(digits);
    switch (pending) {
      case '*': product *= number; break;
      case '/': product = number === 0 ? NaN : product / number; break;
      case '-': sum += product ?? 0; product = -number; break;
      default: sum += product ?? 0; product = number;
    }
    pending = next;
  }
  return sum + product;
}

function clearAll() {
  expression = '';
  finished = false;
  refresh();
}

function backspace() {
  if (finished) return clearAll();
  expression = expression.slice(0, -1);
  refresh();
}

const actions = { point: typePoint, equals, clear: clearAll, back: backspace };

document.querySelector('.keys').addEventListener('click', (event) => {
  const button = event.target.closest('button');
  if (!button) return;
  const { digit, op, action } = button.dataset;
  if (digit !== undefined) typeDigit(digit);
  else if (op) typeOperator(op);
  else actions[action]();
  // After a mouse click the keyboard's Enter should mean "equals", not "this key again".
  if (event.detail > 0) button.blur();
});

document.addEventListener('keydown', (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  const { key } = event;
  if (key === 'Enter' && event.target.closest('button')) return;
  if (/^\d$/.test(key)) typeDigit(key);
  else if (/^[-+*/]$/.test(key)) typeOperator(key);
  else if (key === '.' || key === ',') typePoint();
  else if (key === 'Enter' || key === '=') equals();
  else if (key === 'Backspace') backspace();
  else if (key === 'Escape' || key === 'Delete') clearAll();
  else return;
  event.preventDefault();
});

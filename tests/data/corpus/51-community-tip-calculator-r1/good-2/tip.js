(() => {
  'use strict';

  const el = (id) => document.getElementById(id);
  const dollars = new Intl.NumberFormat('en-US', { style: 'currency', currency: 'USD' });

  // ----- tip ---------------------------------------------------------------
  function show(tipCents, totalCents) {
    el('tip-amount').textContent = dollars.format(tipCents / 100);
    el('total').textContent = dollars.format(totalCents / 100);
  }

  function update() {
    const bill = el('bill').valueAsNumber;
    const unreadable = el('bill').validity.badInput;
    const wrong = unreadable || bill < 0;

    el('hint').textContent = wrong ? 'Please enter an amount of 0 or more.' : '';
    el('bill').classList.toggle('is-invalid', wrong);
    if (wrong || Number.isNaN(bill)) return show(0, 0);

    // whole cents: the two lines always add up, and half a cent is rounded up
    const billCents = Math.round(bill * 100);
    const tipCents = Math.round((billCents * Number(el('tip').value)) / 100);
    show(tipCents, billCents + tipCents);
  }

  el('bill').addEventListener('input', update);
  el('tip').addEventListener('input', update);
  el('tip').addEventListener('change', update);

  // ----- a sum to find the bill --------------------------------------------
  const operations = {
    '+': (a, b) => a + b,
    '-': (a, b) => a - b,
    '*': (a, b) => a * b,
    '/': (a, b) => a / b,
  };
  let answer = NaN;

  function workOut() {
    const a = el('first').valueAsNumber;
    const b = el('second').valueAsNumber;
    const sign = el('sign').value;
    answer = Number(operations[sign](a, b).toPrecision(12));

    if (Number.isNaN(a) || Number.isNaN(b)) el('answer').textContent = '= …';
    else if (sign === '/' && b === 0) el('answer').textContent = 'Cannot divide by zero';
    else el('answer').textContent = '= ' + answer;
    el('use').disabled = !Number.isFinite(answer) || answer < 0;
  }

  for (const id of ['first', 'sign', 'second']) el(id).addEventListener('input', workOut);

  el('use').addEventListener('click', () => {
    el('bill').value = answer.toFixed(2);
    update();
  });

  update();
})();

const bill = document.getElementById('bill');
const tip = document.getElementById('tip');
const message = document.getElementById('message');
const tipAmount = document.getElementById('tip-amount');
const totalAmount = document.getElementById('total-amount');

const money = new Intl.NumberFormat('en-US', { style: 'currency', currency: 'USD' });

// All arithmetic is done in whole cents, so the tip and the bill always add up to the total.
function calculate() {
  const amount = bill.value === '' ? 0 : Number(bill.value);
  const unreadable = bill.validity.badInput;
  const invalid = unreadable || !Number.isFinite(amount * 100) || amount < 0;

  bill.classList.toggle('is-invalid', invalid);
  message.textContent = invalid ? 'Enter a bill amount of zero or more.' : '';

  const billCents = invalid ? 0 : Math.round(amount * 100);
  const tipCents = Math.round(billCents * Number(tip.value) / 100);

  tipAmount.textContent = money.format(tipCents / 100);
  totalAmount.textContent = money.format((billCents + tipCents) / 100);
}

bill.addEventListener('input', calculate);
tip.addEventListener('input', calculate);
tip.addEventListener('change', calculate);

calculate(); // the browser may have kept earlier entries

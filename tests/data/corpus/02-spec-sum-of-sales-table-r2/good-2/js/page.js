'use strict';

(function () {
  const totalElement = document.getElementById('total-sales');
  const tableBody = document.querySelector('#product-sales tbody');
  const problem = document.getElementById('problem');

  function show(records) {
    tableBody.replaceChildren();
    for (const [product, cents] of Sales.byProduct(records)) {
      const tr = tableBody.insertRow();
      const name = document.createElement('th');
      name.scope = 'row';
      name.className = 'fw-normal';
      name.textContent = product;
      tr.append(name);
      const amount = tr.insertCell();
      amount.className = 'text-end font-monospace';
      amount.textContent = Sales.format(cents);
    }
    totalElement.textContent = Sales.format(Sales.total(records));
  }

  fetch('data.csv')
    .then((response) => {
      if (!response.ok) throw new Error('data.csv: HTTP ' + response.status);
      return response.text();
    })
    .then((text) => {
      const records = Sales.parse(text);
      if (!records.length || !('sales' in records[0]) || !('product' in records[0])) {
        throw new Error('data.csv needs the columns product and sales');
      }
      show(records);
    })
    .catch((error) => {
      totalElement.textContent = 'n/a';
      problem.textContent = 'Sorry, no figures today. ' + error.message;
      problem.hidden = false;
    });
})();

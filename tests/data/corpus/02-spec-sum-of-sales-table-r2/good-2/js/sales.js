'use strict';

/* Everything about the numbers; nothing in here touches the page. */
const Sales = {
  /** Turn CSV text into a list of objects keyed by the header names. */
  parse(text) {
    const rows = [];
    let row = [], cell = '', quoted = false;
    for (let i = 0; i < text.length; i++) {
      const ch = text[i];
      if (quoted) {
        if (ch === '"' && text[i + 1] === '"') { cell += '"'; i++; }
        else if (ch === '"') quoted = false;
        else cell += ch;
      } else if (ch === '"') quoted = true;
      else if (ch === ',') { row.push(cell); cell = ''; }
      else if (ch === '\n') { row.push(cell); rows.push(row); row = []; cell = ''; }
      else if (ch !== '\r') cell += ch;
    }
    if (cell !== '' || row.length) { row.push(cell); rows.push(row); }

    const [header = [], ...body] = rows;
    const names = header.map((name) => name.trim().toLowerCase());
    return body
      .filter((fields) => fields.some((field) => field.trim() !== ''))
      .map((fields) => Object.fromEntries(names.map((name, i) => [name, (fields[i] || '').trim()])));
  },

  /** Money is added up in whole cents, so that sums of sums agree to the last digit. */
  cents(record) {
    const amount = parseFloat(record.sales);
    if (!Number.isFinite(amount)) throw new Error(`"${record.sales}" is not an amount`);
    return Math.round(amount * 100);
  },

  byProduct(records) {
    const totals = new Map();
    for (const record of records) {
      totals.set(record.product, (totals.get(record.product) || 0) + Sales.cents(record));
    }
    return [...totals].sort((a, b) => b[1] - a[1]);
  },

  total(records) {
    return records.reduce((sum, record) => sum + Sales.cents(record), 0);
  },

  format(cents) {
    return (cents / 100).toFixed(2);
  },
};

const heading = document.getElementById('total-sales');
const note = document.getElementById('note');

/** Splits one CSV line into fields; quotes may protect commas. */
function splitLine(line) {
  const fields = [];
  let field = '';
  let quoted = false;
  for (let i = 0; i < line.length; i += 1) {
    const char = line[i];
    if (quoted && char === '"' && line[i + 1] === '"') {
      field += '"';
      i += 1;
    } else if (char === '"') {
      quoted = !quoted;
    } else if (char === ',' && !quoted) {
      fields.push(field.trim());
      field = '';
    } else {
      field += char;
    }
  }
  fields.push(field.trim());
  return fields;
}

function readSales(csv) {
  const lines = csv.replace(/^\uFEFF/, '').split(/\r?\n/).filter((line) => line.trim() !== '');
  const header = splitLine(lines[0] ?? '').map((name) => name.toLowerCase());
  const column = header.indexOf('sales');
  if (column === -1) throw new Error('there is no "sales" column');
  return lines
    .slice(1)
    .map((line) => Number.parseFloat(splitLine(line)[column]))
    .filter((value) => !Number.isNaN(value));
}

async function showTotal() {
  try {
    const response = await fetch('sales.csv');
    if (!response.ok) throw new Error(`the server answered ${response.status}`);
    const sales = readSales(await response.text());
    const total = sales.reduce((sum, value) => sum + value, 0);
    heading.textContent = total.toFixed(2);
    note.textContent = `${sales.length} rows in sales.csv`;
  } catch (error) {
    heading.textContent = '–';
    note.textContent = `sales.csv could not be used: ${error.message}.`;
    note.className = 'note error';
  }
}

showTotal();

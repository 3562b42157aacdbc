const SOURCE = 'data.csv';
const COLUMN = 'sales';

/** Split one CSV line; fields may be quoted and may hold commas or doubled quotes. */
function splitLine(line) {
  const fields = [];
  const pattern = /("(?:[^"]|"")*"|[^,]*)(,|$)/g;
  let match;
  while ((match = pattern.exec(line)) !== null) {
    const raw = match[1];
    fields.push(raw.startsWith('"') ? raw.slice(1, -1).replaceAll('""', '"') : raw);
    if (match[2] === '') break;
  }
  return fields.map((field) => field.trim());
}

/** Numbers of one named column, the header line left out. */
function readColumn(csv, name) {
  const [header, ...rows] = csv
    .replace(/^\uFEFF/, '')
    .split(/\r?\n/)
    .filter((line) => line.trim() !== '')
    .map(splitLine);
  const position = (header ?? []).findIndex((cell) => cell.toLowerCase() === name);
  if (position === -1) throw new Error(`There is no "${name}" column in ${SOURCE}`);
  return rows.map((row, index) => {
    const value = Number(row[position]);
    if (row[position] === undefined || row[position] === '' || Number.isNaN(value)) {
      throw new Error(`Data row ${index + 1} of ${SOURCE} holds no valid number`);
    }
    return value;
  });
}

const totalBox = document.querySelector('#total-sales');
const info = document.querySelector('#row-info');

try {
  const response = await fetch(SOURCE);
  if (!response.ok) throw new Error(`${SOURCE} answered with status ${response.status}`);
  const values = readColumn(await response.text(), COLUMN);
  const total = values.reduce((sum, value) => sum + value, 0);
  totalBox.textContent = total.toFixed(2);
  info.textContent = `Added up from ${values.length} records`;
} catch (error) {
  totalBox.textContent = '–';
  info.classList.replace('text-body-secondary', 'text-danger');
  info.textContent = `The figures could not be read: ${error.message}`;
}

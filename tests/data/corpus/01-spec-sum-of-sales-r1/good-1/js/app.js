"use strict";

const DATA_URL = "data.csv";
const COLUMN = "sales";

const totalEl = document.getElementById("total-sales");
const statusEl = document.getElementById("status");

/** Split one CSV line into fields; "quoted, fields" may hold commas. */
function splitLine(line) {
  const fields = [];
  let field = "";
  let quoted = false;
  for (let i = 0; i < line.length; i++) {
    const ch = line[i];
    if (quoted) {
      if (ch === '"' && line[i + 1] === '"') {
        field += '"';
        i++;
      } else if (ch === '"') {
        quoted = false;
      } else {
        field += ch;
      }
    } else if (ch === '"') {
      quoted = true;
    } else if (ch === ",") {
      fields.push(field.trim());
      field = "";
    } else {
      field += ch;
    }
  }
  fields.push(field.trim());
  return fields;
}

/** The values of one named column as numbers, plus how many cells were no number. */
function readColumn(text, name) {
  const lines = text
    .replace(/^\uFEFF/, "")
    .split(/\r?\n/)
    .filter((line) => line.trim() !== "");
  if (lines.length === 0) {
    throw new Error("the file is empty");
  }

  const header = splitLine(lines[0]).map((h) => h.toLowerCase());
  const index = header.indexOf(name);
  if (index === -1) {
    throw new Error(`there is no "${name}" column`);
  }

  const values = [];
  let skipped = 0;
  for (const line of lines.slice(1)) {
    const cell = splitLine(line)[index] ?? "";
    const value = Number(cell.replace(/,/g, ""));
    if (cell === "" || !Number.isFinite(value)) {
      skipped++;
    } else {
      values.push(value);
    }
  }
  return { values, skipped };
}

async function main() {
  try {
    const response = await fetch(DATA_URL);
    if (!response.ok) {
      throw new Error(`the server answered ${response.status}`);
    }
    const { values, skipped } = readColumn(await response.text(), COLUMN);
    const total = values.reduce((sum, value) => sum + value, 0);

    // Plain digits with a decimal point, so that scripts can read it as well.
    totalEl.textContent = total.toFixed(2);
    statusEl.textContent = `${values.length} rows added up` + (skipped ? `, ${skipped} without a usable amount left out` : "");
  } catch (error) {
    totalEl.textContent = "n/a";
    statusEl.textContent = `Could not load ${DATA_URL}: ${error.message}.`;
    statusEl.classList.add("is-error");
  }
}

main();

import { parseCsv } from "./csv.js";

const ALL = "All";

const filter = document.querySelector("#region-filter");
const total = document.querySelector("#total-sales");
const caption = document.querySelector("#total-caption");
const note = document.querySelector("#note");

let orders = [];

function fillRegions() {
  const regions = [...new Set(orders.map((o) => o.region))].filter(Boolean).sort();
  for (const region of regions) {
    filter.add(new Option(region, region));
  }
}

function update() {
  const region = filter.value;
  const chosen = region === ALL ? orders : orders.filter((o) => o.region === region);
  const sum = chosen.reduce((acc, o) => acc + o.sales, 0);

  total.textContent = sum.toFixed(2);
  total.dataset.region = region;
  caption.textContent = region === ALL ? "Sales in all regions" : `Sales in region ${region}`;
  note.textContent = `${chosen.length} of ${orders.length} orders counted.`;
}

async function load() {
  const response = await fetch("data.csv");
  if (!response.ok) throw new Error(`HTTP ${response.status}`);
  const rows = parseCsv(await response.text());
  if (rows.length && !("sales" in rows[0] && "region" in rows[0])) {
    throw new Error("columns region and sales expected");
  }
  return rows
    .filter((r) => r.sales !== "" && Number.isFinite(Number(r.sales)))
    .map((r) => ({ region: r.region, sales: Number(r.sales) }));
}

try {
  orders = await load();
  fillRegions();
  update();
  filter.addEventListener("change", update);
} catch (error) {
  total.textContent = "–";
  filter.disabled = true;
  note.textContent = `data.csv cannot be shown (${error.message}).`;
  note.classList.add("failed");
}

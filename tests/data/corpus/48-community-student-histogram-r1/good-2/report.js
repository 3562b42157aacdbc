// Everything shown as a number on the page is computed here from the CSV file.

const mean = (xs) => xs.reduce((a, b) => a + b, 0) / xs.length;

const median = (xs) => {
  const sorted = [...xs].sort((a, b) => a - b);
  const mid = Math.floor(sorted.length / 2);
  return sorted.length % 2 ? sorted[mid] : (sorted[mid - 1] + sorted[mid]) / 2;
};

const deviation = (xs) => {
  const m = mean(xs);
  return Math.sqrt(mean(xs.map((x) => (x - m) ** 2)));
};

function parse(text) {
  const [head, ...lines] = text.trim().split(/\r?\n/).map((line) => line.split(","));
  const subjects = head.slice(2);
  const students = lines.map(([id, name, ...marks]) => {
    const numbers = marks.map(Number);
    return { id, name, marks: numbers, total: numbers.reduce((a, b) => a + b, 0) };
  });
  return { subjects, students };
}

function addRow(parent, cells, tag = "td") {
  const tr = parent.insertRow();
  for (const value of cells) {
    const cell = document.createElement(tag);
    if (tag === "th") cell.scope = "col";
    cell.textContent = value;
    tr.append(cell);
  }
}

function addFinding(text) {
  const li = document.createElement("li");
  li.textContent = text;
  document.querySelector("#findings").append(li);
}

function show({ subjects, students }) {
  document.querySelector("#intro").textContent =
    `${students.length} students, ${subjects.length} subjects: ${subjects.join(", ")}.`;

  const stats = subjects.map((subject, i) => {
    const marks = students.map((s) => s.marks[i]);
    return { subject, marks, mean: mean(marks), low: Math.min(...marks), high: Math.max(...marks) };
  });
  const body = document.querySelector("#subjects").tBodies[0];
  for (const s of stats) {
    addRow(body, [s.subject, s.mean.toFixed(2), median(s.marks).toFixed(1), s.low, s.high, deviation(s.marks).toFixed(2)]);
  }

  const ranked = [...students].sort((a, b) => b.total - a.total);
  const strongest = stats.reduce((a, b) => (b.mean > a.mean ? b : a));
  const weakest = stats.reduce((a, b) => (b.mean < a.mean ? b : a));
  const last = ranked[ranked.length - 1];
  addFinding(`Highest total: ${ranked[0].name} with ${ranked[0].total} of ${subjects.length * 100} marks.`);
  addFinding(`Lowest total: ${last.name} with ${last.total} marks.`);
  addFinding(`${strongest.subject} has the best class mean (${strongest.mean.toFixed(2)}), ${weakest.subject} the weakest (${weakest.mean.toFixed(2)}).`);
  addFinding(`Mean total per student: ${mean(students.map((s) => s.total)).toFixed(2)}.`);

  const ranking = document.querySelector("#ranking");
  addRow(ranking.tHead, ["Rank", "Student ID", "Name", ...subjects, "Total"], "th");
  for (const s of ranked) {
    const rank = ranked.findIndex((other) => other.total === s.total) + 1; // equal totals share a rank
    addRow(ranking.tBodies[0], [rank, s.id, s.name, ...s.marks, s.total]);
  }
}

try {
  const response = await fetch("student_data.csv");
  if (!response.ok) throw new Error(`status ${response.status}`);
  show(parse(await response.text()));
} catch (error) {
  document.querySelector("#intro").textContent = `student_data.csv could not be read (${error.message}).`;
}

const SUBJECTS = ["Math", "Science", "English"];

function parseCsv(text) {
  const [header, ...lines] = text.replace(/^\uFEFF/, "").trim().split(/\r?\n/);
  const names = header.split(",").map((name) => name.trim());
  return lines
    .filter((line) => line.trim() !== "")
    .map((line) => {
      const cells = line.split(",");
      return Object.fromEntries(names.map((name, i) => [name, (cells[i] || "").trim()]));
    });
}

const sum = (values) => values.reduce((total, value) => total + value, 0);
const mean = (values) => sum(values) / values.length;

function median(values) {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = Math.floor(sorted.length / 2);
  return sorted.length % 2 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
}

function addRow(tbody, cells) {
  const row = tbody.insertRow();
  for (const cell of cells) {
    row.insertCell().textContent = cell;
  }
}

function render(students) {
  const subjectBody = document.querySelector("#subjects tbody");
  const rankingBody = document.querySelector("#ranking tbody");

  const stats = SUBJECTS.map((subject) => {
    const scores = students.map((student) => student[subject]);
    const highest = Math.max(...scores);
    return {
      subject,
      mean: mean(scores),
      median: median(scores),
      lowest: Math.min(...scores),
      highest,
      best: students.filter((student) => student[subject] === highest).map((student) => student.Name).join(", "),
    };
  });
  for (const s of stats) {
    addRow(subjectBody, [s.subject, s.mean.toFixed(2), s.median.toFixed(1), s.lowest, s.highest, s.best]);
  }

  const ranked = [...students].sort((a, b) => b.average - a.average);
  for (const student of ranked) {
    addRow(rankingBody, [student.Name, ...SUBJECTS.map((s) => student[s]), student.average.toFixed(2)]);
  }

  const strongest = stats.reduce((a, b) => (b.mean > a.mean ? b : a));
  const overall = mean(students.map((student) => student.average));
  document.getElementById("overview").textContent =
    `The file lists ${students.length} students with scores in ${SUBJECTS.join(", ")}. ` +
    `The overall average is ${overall.toFixed(2)}; ${strongest.subject} has the highest mean (${strongest.mean.toFixed(2)}). ` +
    `${ranked[0].Name} leads with an average of ${ranked[0].average.toFixed(2)}.`;
}

async function main() {
  try {
    const response = await fetch("student_data.csv");
    if (!response.ok) throw new Error("status " + response.status);
    const students = parseCsv(await response.text()).map((record) => {
      const scores = Object.fromEntries(SUBJECTS.map((s) => [s, Number(record[s])]));
      return { Name: record.Name, ...scores, average: mean(Object.values(scores)) };
    });
    render(students);
  } catch (err) {
    const overview = document.getElementById("overview");
    overview.className = "problem";
    overview.textContent = "The data could not be read (" + err.message + ").";
  }
}

main();

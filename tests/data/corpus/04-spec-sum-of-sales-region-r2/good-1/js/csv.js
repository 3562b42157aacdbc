// Turns CSV text into a list of objects keyed by the (lower-case) header names.

const FIELD = /,(?:"((?:[^"]|"")*)"|([^,]*))/g;

function fieldsOf(line) {
  // A comma is put in front, so that every field starts with one.
  return [...("," + line).matchAll(FIELD)].map(([, quoted, plain]) =>
    quoted !== undefined ? quoted.replaceAll('""', '"').trim() : plain.trim()
  );
}

export function parseCsv(text) {
  const lines = text.replace(/^\uFEFF/, "").split(/\r?\n/).filter((l) => l.trim());
  if (!lines.length) return [];
  const names = fieldsOf(lines[0]).map((n) => n.toLowerCase());
  return lines.slice(1).map((line) => {
    const fields = fieldsOf(line);
    return Object.fromEntries(names.map((name, i) => [name, fields[i] ?? ""]));
  });
}

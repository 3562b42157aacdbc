const SAMPLE = 'sample.svg';
const UNITS = { grayscale: '%', sepia: '%', blur: 'px', brightness: '%' };
const NAMES = Object.keys(UNITS);

const byId = (id) => document.getElementById(id);
const before = byId('before');
const after = byId('after');
const filters = byId('filters');
let picture = null;

function tell(text, isError = false) {
  byId('status').textContent = text;
  byId('status').classList.toggle('error', isError);
}

function loadImage(src, useCors) {
  return new Promise((resolve, reject) => {
    const image = new Image();
    if (useCors) image.crossOrigin = 'anonymous';
    image.onload = () => resolve(image);
    image.onerror = () => reject(new Error('not loaded'));
    image.src = src;
  });
}

// Servers that send no CORS header refuse the first request; the picture can still be drawn with the second one.
function openImage(src) {
  return loadImage(src, true).catch(() => loadImage(src, false));
}

function filterString() {
  return NAMES.map((name) => `${name}(${byId(name).value}${UNITS[name]})`).join(' ');
}

function applyFilters() {
  NAMES.forEach((name) => {
    byId(`${name}-value`).value = byId(name).value + UNITS[name];
  });
  if (!picture) return;
  const ctx = after.getContext('2d');
  ctx.clearRect(0, 0, after.width, after.height);
  ctx.filter = filterString();
  ctx.drawImage(picture, 0, 0, after.width, after.height);
}

function showPicture(image) {
  const width = image.naturalWidth || 480;
  const height = image.naturalHeight || 320;
  const scale = Math.min(1, 1600 / Math.max(width, height));
  for (const canvas of [before, after]) {
    canvas.width = Math.max(1, Math.round(width * scale));
    canvas.height = Math.max(1, Math.round(height * scale));
  }
  before.getContext('2d').drawImage(image, 0, 0, before.width, before.height);
  picture = image;
  applyFilters();
}

async function start() {
  const requested = new URLSearchParams(window.location.search).get('url');
  byId('url').value = requested ?? '';
  tell('Loading…');
  try {
    showPicture(await openImage(requested || SAMPLE));
    if (!('filter' in before.getContext('2d'))) tell('This browser has no canvas filters; please use a current Chrome, Edge or Firefox.', true);
    else tell(requested ? `Loaded ${requested.slice(0, 120)}` : 'No address given, so the sample picture is shown. Add ?url=… to open your own.');
  } catch {
    tell(`No image could be loaded from ${String(requested).slice(0, 120)}`, true);
  }
}

filters.addEventListener('input', applyFilters);
filters.addEventListener('change', applyFilters);
filters.addEventListener('reset', () => setTimeout(applyFilters));

start();

// International Morse code, ITU-R M.1677-1, plus a few widely used extras.
const MORSE = {
  A: '.-',    B: '-...',  C: '-.-.',  D: '-..',   E: '.',     F: '..-.',
  G: '--.',   H: '....',  I: '..',    J: '.---',  K: '-.-',   L: '.-..',
  M: '--',    N: '-.',    O: '---',   P: '.--.',  Q: '--.-',  R: '.-.',
  S: '...',   T: '-',     U: '..-',   V: '...-',  W: '.--',   X: '-..-',
  Y: '-.--',  Z: '--..',
  0: '-----', 1: '.----', 2: '..---', 3: '...--', 4: '....-',
  5: '.....', 6: '-....', 7: '--...', 8: '---..', 9: '----.',
  '.': '.-.-.-', ',': '--..--', '?': '..--..', "'": '.----.', '!': '-.-.--',
  '/': '-..-.',  '(': '-.--.',  ')': '-.--.-', '&': '.-...',  ':': '---...',
  ';': '-.-.-.', '=': '-...-',  '+': '.-.-.',  '-': '-....-', '_': '..--.-',
  '"': '.-..-.', '$': '...-..-', '@': '.--.-.'
};

const FROM_MORSE = Object.fromEntries(Object.entries(MORSE).map(([ch, code]) => [code, ch]));

/** "Hi you" -> { morse: ".... .. / -.-- --- ..-", unknown: [] } */
function encode(text) {
  const unknown = new Set();
  const words = text.normalize('NFD').replace(/[\u0300-\u036f]/g, '')
    .replace(/[\u2018\u2019]/g, "'").replace(/[\u201c\u201d]/g, '"')
    .toUpperCase().trim().split(/\s+/).filter(Boolean);
  const morse = words.map(word => [...word].map(ch => {
    if (!MORSE[ch]) unknown.add(ch);
    return MORSE[ch];
  }).filter(Boolean).join(' ')).filter(Boolean).join(' / ');
  return { morse, unknown: [...unknown] };
}

/** ".... .. / -.-- --- ..-" -> { text: "HI YOU", unknown: [] } */
function decode(morse) {
  const unknown = new Set();
  const words = tidy(morse).split('/').map(w => w.trim()).filter(Boolean);
  const text = words.map(word => word.split(' ').map(code => {
    if (!Object.hasOwn(FROM_MORSE, code)) { unknown.add(code); return '\uFFFD'; }
    return FROM_MORSE[code];
  }).join('')).join(' ');
  return { text, unknown: [...unknown] };
}

/** Unify the many ways people type dots, dashes and word gaps. */
function tidy(morse) {
  return morse
    .replace(/[\u00b7\u2022\u2219*]/g, '.')
    .replace(/\u2026/g, '...')
    .replace(/[\u2010-\u2015\u2212_]/g, '-')
    .replace(/\s*[\/|\n]+\s*|\s{3,}/g, ' / ')
    .replace(/[^\S\n]+/g, ' ')
    .trim();
}

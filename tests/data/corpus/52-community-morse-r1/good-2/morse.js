// Translation tables and pure functions; no DOM in this file.
const Morse = (() => {
  const PAIRS = [
    'A .-', 'B -...', 'C -.-.', 'D -..', 'E .', 'F ..-.', 'G --.', 'H ....', 'I ..', 'J .---', 'K -.-', 'L .-..', 'M --',
    'N -.', 'O ---', 'P .--.', 'Q --.-', 'R .-.', 'S ...', 'T -', 'U ..-', 'V ...-', 'W .--', 'X -..-', 'Y -.--', 'Z --..',
    '0 -----', '1 .----', '2 ..---', '3 ...--', '4 ....-', '5 .....', '6 -....', '7 --...', '8 ---..', '9 ----.',
    '. .-.-.-', ', --..--', '? ..--..', "' .----.", '! -.-.--', '/ -..-.', '( -.--.', ') -.--.-', '& .-...', ': ---...',
    '; -.-.-.', '= -...-', '+ .-.-.', '- -....-', '_ ..--.-', '" .-..-.', '$ ...-..-', '@ .--.-.',
  ].map((pair) => pair.split(' '));

  const toCode = new Map(PAIRS);
  const toText = new Map(PAIRS.map(([char, code]) => [code, char]));

  // Accents are dropped (é -> E); curly quotes and dashes become their plain forms.
  function simplify(text) {
    return text.normalize('NFD').replace(/[\u0300-\u036f]/g, '')
      .replace(/[‘’]/g, "'").replace(/[“”]/g, '"').replace(/[–—]/g, '-').replace(/ß/g, 'ss')
      .toUpperCase();
  }

  function encode(text) {
    const unknown = new Set();
    const words = simplify(text).split(/\s+/).filter(Boolean).map((word) =>
      [...word].map((char) => {
        if (!toCode.has(char)) unknown.add(char);
        return toCode.get(char) ?? '';
      }).filter(Boolean).join(' '));
    return { result: words.filter(Boolean).join(' / '), unknown: [...unknown] };
  }

  function tidy(code) {
    return code.replace(/[·•∙]/g, '.').replace(/…/g, '...').replace(/[−–_]/g, '-').replace(/—/g, '--')
      .replace(/[|/\n]+/g, ' / ').trim();
  }

  function decode(code) {
    const unknown = new Set();
    const words = tidy(code).split(/\s*(?:\/|\s{3,})\s*/).map((word) =>
      word.split(/\s+/).filter(Boolean).map((sign) => {
        if (!toText.has(sign)) unknown.add(sign);
        return toText.get(sign) ?? '�';
      }).join(''));
    return { result: words.filter(Boolean).join(' '), unknown: [...unknown] };
  }

  return { encode, decode, tidy };
})();

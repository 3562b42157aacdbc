// The arithmetic: operators, scientific functions, and the evaluation of a list of tokens.

const tidy = (value) => Math.round(value * 1e12) / 1e12 + 0;

function radians(value, unit) {
  // whole turns are dropped first, that keeps large angles in degrees exact
  return unit === 'deg' ? ((value % 360) * Math.PI) / 180 : value;
}

export const functions = {
  sin: (x, unit) => tidy(Math.sin(radians(x, unit))),
  cos: (x, unit) => tidy(Math.cos(radians(x, unit))),
  tan(x, unit) {
    const angle = radians(x, unit);
    if (Math.abs(Math.cos(angle)) < 1e-12) throw new Error('tan is not defined here');
    return tidy(Math.tan(angle));
  },
  log(x) {
    if (x <= 0) throw new Error('log needs a number above 0');
    return Math.log10(x);
  },
  sqrt(x) {
    if (x < 0) throw new Error('sqrt needs a number from 0 up');
    return Math.sqrt(x);
  },
};

export function format(value) {
  if (!Number.isFinite(value)) throw new Error('The number is too large');
  return String(Number(value.toPrecision(12)));
}

/** A result as a token: shown with 12 digits, calculated on with 15. */
export function computed(value) {
  return { kind: 'num', text: format(value), value: Number(value.toPrecision(15)), computed: true };
}

/**
 * Tokens are { kind, text } with kind: num, op, neg (a sign), fn, open, close.
 *   sum     = product { (+|-) product }
 *   product = factor { (*|/) factor }
 *   factor  = neg factor | num | [fn] open sum close
 */
export function evaluate(tokens, unit) {
  let at = 0;
  const isOp = (...texts) => tokens[at]?.kind === 'op' && texts.includes(tokens[at].text);

  function sum() {
    let value = product();
    while (isOp('+', '-')) {
      const minus = tokens[at++].text === '-';
      const right = product();
      value = minus ? value - right : value + right;
    }
    return value;
  }

  function product() {
    let value = factor();
    while (isOp('*', '/')) {
      const divide = tokens[at++].text === '/';
      const right = factor();
      if (divide && right === 0) throw new Error('Division by zero');
      value = divide ? value / right : value * right;
    }
    return value;
  }

  function factor() {
    const token = tokens[at++];
    if (token.kind === 'neg') return -factor();
    if (token.kind === 'num') return token.value ?? Number(token.text);
    if (token.kind === 'fn') return functions[token.text](factor(), unit);
    const value = sum(); // after "open"
    at++; // "close"
    return value;
  }

  return sum();
}

import { computed, evaluate, format, functions } from './functions.js';

export class Calculator {
  unit = 'deg';

  constructor() {
    this.clear();
  }

  clear() {
    this.tokens = [];
    this.done = false;
    this.error = '';
    this.note = '';
  }

  get text() {
    if (this.error) return 'Error';
    return this.tokens.map((t) => (t.kind === 'op' ? ` ${t.text} ` : t.text)).join('') || '0';
  }

  press(key) {
    if (this.error) this.clear();
    this.note = '';
    try {
      if (/^\d$/.test(key)) this.digit(key);
      else if (key === '.') this.point();
      else if (['+', '-', '*', '/'].includes(key)) this.operator(key);
      else if (key in functions) this.fn(key);
      else if (key === '(') this.open();
      else if (key === ')') this.close();
      else if (key === '=') this.equals();
      else if (key === 'back') this.back();
      else if (key === 'clear') this.clear();
    } catch (problem) {
      this.tokens = [];
      this.done = false;
      this.error = problem.message;
      this.note = problem.message;
    }
  }

  // --- small helpers -------------------------------------------------------
  get last() { return this.tokens.at(-1); }
  get wantsOperand() { return !this.last || !['num', 'close'].includes(this.last.kind); }
  get depth() {
    return this.tokens.reduce((d, t) => d + (t.kind === 'open') - (t.kind === 'close'), 0);
  }

  push(kind, text) { this.tokens.push({ kind, text }); }

  /** The number token that is being typed, a new one if there is none. */
  number() {
    if (this.done) this.clear();
    if (this.last?.kind === 'num' && this.last.computed) this.tokens.pop();
    if (this.last?.kind === 'close') this.push('op', '*');
    if (this.last?.kind !== 'num') this.push('num', '');
    return this.last;
  }

  /** Where the operand at the end of the list begins. */
  operandStart() {
    let start = this.tokens.length - 1;
    if (this.last.kind === 'close') {
      for (let depth = 1; depth > 0;) {
        start--;
        depth += (this.tokens[start].kind === 'close') - (this.tokens[start].kind === 'open');
      }
      while (this.tokens[start - 1]?.kind === 'fn') start--;
    }
    while (this.tokens[start - 1]?.kind === 'neg') start--;
    return start;
  }

  // --- keys ----------------------------------------------------------------
  digit(d) {
    const number = this.number();
    if (number.text === '0') number.text = d;
    else if (number.text.length < 16) number.text += d;
  }

  point() {
    const number = this.number();
    if (!number.text.includes('.')) number.text = (number.text || '0') + '.';
  }

  operator(op) {
    this.done = false;
    if (!this.wantsOperand) return this.push('op', op);
    if (!this.last) {
      if (op === '-') return this.push('neg', '-');
      this.push('num', '0');
      return this.push('op', op);
    }
    if (this.last.kind === 'neg') {
      if (op === '-') return;
      this.tokens.pop();
      return this.operator(op);
    }
    if (this.last.kind === 'op') {
      if (op === '-' && '*/'.includes(this.last.text)) return this.push('neg', '-');
      this.last.text = op;
    } else if (op === '-') {
      this.push('neg', '-'); // right after an opening bracket
    }
  }

  /** After a number or bracket the function acts on it at once; otherwise it opens a bracket. */
  fn(name) {
    if (this.wantsOperand) {
      this.push('fn', name);
      this.push('open', '(');
      return;
    }
    this.done = false;
    const operand = this.tokens.splice(this.operandStart());
    const argument = evaluate(operand, this.unit);
    const value = functions[name](argument, this.unit);
    this.tokens.push(computed(value));
    this.note = `${name}(${format(argument)}) = ${format(value)}`;
  }

  open() {
    if (this.done) this.clear();
    if (!this.wantsOperand) this.push('op', '*');
    this.push('open', '(');
  }

  close() {
    if (this.depth > 0 && !this.wantsOperand) this.push('close', ')');
  }

  equals() {
    while (this.last && ['op', 'neg'].includes(this.last.kind)) this.tokens.pop();
    if (!this.last) return;
    if (this.last.kind === 'open') {
      this.note = 'Enter a number first';
      return;
    }
    while (this.depth > 0) this.push('close', ')');
    const question = this.text;
    this.tokens = [computed(evaluate(this.tokens, this.unit))];
    this.done = true;
    this.note = `${question} =`;
  }

  back() {
    if (this.done) return this.clear();
    if (!this.last) return;
    if (this.last.kind === 'num' && !this.last.computed && this.last.text.length > 1) {
      this.last.text = this.last.text.slice(0, -1);
      return;
    }
    this.tokens.pop();
    if (this.last?.kind === 'fn') this.tokens.pop(); // name and bracket go together
  }
}

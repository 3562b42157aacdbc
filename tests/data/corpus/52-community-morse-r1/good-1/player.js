// Turns a Morse string into sine beeps. One time unit is 1200 / WPM milliseconds:
// dot 1, dash 3, pause inside a letter 1, between letters 3, between words 7.
class MorsePlayer {
  constructor() {
    this.context = null;
    this.tones = [];
    this.timer = null;
  }

  play(morse, { wpm, pitch, onEnd }) {
    this.stop();
    this.context ??= new (window.AudioContext || window.webkitAudioContext)();
    this.context.resume();
    const unit = 1.2 / wpm;
    let at = this.context.currentTime + 0.05;
    for (const symbol of morse) {
      if (symbol === '.' || symbol === '-') {
        const length = symbol === '-' ? 3 * unit : unit;
        this.tone(at, length, pitch);
        at += length + unit;          // pause inside the letter
      } else if (symbol === ' ') {
        at += 2 * unit;               // 1 + 2 = 3 units between letters
      } else if (symbol === '/') {
        at += 2 * unit;               // 1 + 2 + 2 + 2 = 7 units between words
      }
    }
    const wait = (at - this.context.currentTime) * 1000;
    this.onEnd = onEnd;
    this.timer = setTimeout(() => this.stop(), wait);
  }

  tone(start, length, pitch) {
    const osc = this.context.createOscillator();
    const gain = this.context.createGain();
    osc.type = 'sine';
    osc.frequency.value = pitch;
    gain.gain.setValueAtTime(0, start);
    gain.gain.linearRampToValueAtTime(0.4, start + 0.005);
    gain.gain.setValueAtTime(0.4, start + length - 0.005);
    gain.gain.linearRampToValueAtTime(0, start + length);
    osc.connect(gain).connect(this.context.destination);
    osc.start(start);
    osc.stop(start + length);
    this.tones.push(osc);
  }

  stop() {
    clearTimeout(this.timer);
    for (const osc of this.tones) {
      osc.onended = null;
      osc.stop();
      osc.disconnect();
    }
    this.tones = [];
    const done = this.onEnd;
    this.onEnd = null;
    if (done) done();
  }
}

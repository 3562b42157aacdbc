(() => {
  const el = (id) => document.getElementById(id);
  const plain = el('plain');
  const code = el('code');

  function warn(target, label, list) {
    el(target).textContent = list.length ? `${label}: ${list.join('  ')}` : '';
  }

  plain.addEventListener('input', () => {
    stop();
    const { result, unknown } = Morse.encode(plain.value);
    code.value = result;
    warn('plain-note', 'No Morse code known for', unknown);
    warn('code-note', '', []);
    el('player-note').textContent = '';
  });

  code.addEventListener('input', () => {
    stop();
    const { result, unknown } = Morse.decode(code.value);
    plain.value = result;
    warn('code-note', 'Not Morse code', unknown);
    warn('plain-note', '', []);
    el('player-note').textContent = '';
  });

  el('clear').addEventListener('click', () => {
    stop();
    plain.value = code.value = '';
    for (const id of ['plain-note', 'code-note', 'player-note']) el(id).textContent = '';
    plain.focus();
  });

  for (const id of ['speed', 'pitch']) {
    el(id).addEventListener('input', () => { el(id + '-out').value = el(id).value; });
  }

  // ---- sound -------------------------------------------------------------
  let audio = null;
  let tone = null;
  let timers = [];

  // [start, length] of each beep, counted in dot lengths (dash 3, letter gap 3, word gap 7).
  function beeps(morse) {
    const plan = [];
    let at = 0;
    for (const word of morse.split(/\s*(?:\/|\s{3,})\s*/)) {
      const before = plan.length;
      for (const letter of word.split(/\s+/)) {
        const signs = [...letter].filter((s) => s === '.' || s === '-');
        for (const sign of signs) {
          const length = sign === '-' ? 3 : 1;
          plan.push([at, length]);
          at += length + 1;
        }
        if (signs.length) at += 2;
      }
      if (plan.length > before) at += 4;
    }
    return plan;
  }

  function stop() {
    timers.forEach(clearTimeout);
    timers = [];
    if (tone) {
      tone.onended = null;
      tone.stop();
      tone.disconnect();
      tone = null;
    }
    el('lamp').classList.remove('on');
    el('stop').disabled = true;
    el('play').disabled = false;
  }

  el('play').addEventListener('click', async () => {
    stop();
    const plan = beeps(Morse.tidy(code.value));
    if (!plan.length) {
      el('player-note').textContent = 'There is nothing to play yet: write some text or Morse code first.';
      return;
    }
    const AudioCtor = window.AudioContext || window.webkitAudioContext;
    if (!AudioCtor) {
      el('player-note').textContent = 'This browser cannot produce sound.';
      return;
    }
    audio ??= new AudioCtor();
    audio.resume();

    const unit = 1.2 / Number(el('speed').value); // seconds per dot ("PARIS" standard)
    const t0 = audio.currentTime + 0.08;
    const volume = audio.createGain();
    volume.gain.setValueAtTime(0, audio.currentTime);
    tone = audio.createOscillator();
    tone.type = 'sine';
    tone.frequency.value = Number(el('pitch').value);
    tone.connect(volume).connect(audio.destination);

    let end = t0;
    for (const [start, length] of plan) {
      const on = t0 + start * unit;
      end = on + length * unit;
      volume.gain.setTargetAtTime(0.4, on, 0.004);
      volume.gain.setTargetAtTime(0, end, 0.004);
      timers.push(setTimeout(() => el('lamp').classList.add('on'), (on - audio.currentTime) * 1000));
      timers.push(setTimeout(() => el('lamp').classList.remove('on'), (end - audio.currentTime) * 1000));
    }
    tone.start();
    tone.stop(end + 0.1);
    tone.onended = () => {
      stop();
      el('player-note').textContent = 'Finished.';
    };
    el('play').disabled = true;
    el('stop').disabled = false;
    el('player-note').textContent = 'Playing…';
  });

  el('stop').addEventListener('click', () => {
    stop();
    el('player-note').textContent = 'Stopped.';
  });
})();

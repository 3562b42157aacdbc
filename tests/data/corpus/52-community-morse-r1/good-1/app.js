const $ = id => document.getElementById(id);
const player = new MorsePlayer();

function list(items) { return items.map(c => `“${c}”`).join(', '); }

function showMorse() {
  const { morse, unknown } = encode($('plain').value);
  $('morse-out').value = morse;
  $('plain-note').textContent = unknown.length ? `No Morse code for ${list(unknown)}: left out.` : '';
}

function showText() {
  const { text, unknown } = decode($('morse').value);
  $('text-out').value = text;
  $('morse-note').textContent = unknown.length ? `Not a known code: ${list(unknown)} (shown as \uFFFD).` : '';
}

function startPlaying(morse) {
  if (!/[.-]/.test(morse)) {
    $('audio-status').textContent = 'There is nothing to play yet: type something first.';
    return;
  }
  player.play(morse, {
    wpm: Number($('wpm').value),
    pitch: Number($('pitch').value),
    onEnd: () => { $('audio-status').textContent = 'Finished.'; $('stop').disabled = true; }
  });
  $('audio-status').textContent = 'Playing ' + morse;
  $('stop').disabled = false;
}

$('plain').addEventListener('input', showMorse);
$('morse').addEventListener('input', showText);

$('play-out').addEventListener('click', () => startPlaying($('morse-out').value));
$('play-in').addEventListener('click', () => startPlaying(tidy($('morse').value)));
$('stop').addEventListener('click', () => player.stop());

for (const id of ['wpm', 'pitch']) {
  $(id).addEventListener('input', () => { $(id + '-value').textContent = $(id).value; });
}

showMorse();
showText();

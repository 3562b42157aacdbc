const CLE = 'quiz-geographie';
const $ = selecteur => document.querySelector(selecteur);

let questions = [];
// Tout se déduit des réponses données (indice du choix) et de la position atteinte.
let etat = { position: 0, reponses: [] };

const juste = i => etat.reponses[i] === questions[i].reponse;
const points = () => etat.reponses.filter((_, i) => juste(i)).length;

function enregistrer() {
  try { localStorage.setItem(CLE, JSON.stringify(etat)); } catch { /* mémoire indisponible : on joue sans */ }
}

function retrouver() {
  try {
    const lu = JSON.parse(localStorage.getItem(CLE));
    const coherent = lu && Array.isArray(lu.reponses) && Number.isInteger(lu.position)
      && lu.position >= 0 && lu.position <= questions.length
      && lu.reponses.length >= lu.position && lu.reponses.length <= Math.min(lu.position + 1, questions.length)
      && lu.reponses.every((r, i) => Number.isInteger(r) && r >= 0 && r < questions[i].choix.length);
    if (coherent) etat = { position: lu.position, reponses: lu.reponses };
  } catch { /* sauvegarde illisible : nouvelle partie */ }
}

function afficher() {
  $('#score').textContent = `Score : ${points()} / ${questions.length}`;
  const fini = etat.position === questions.length;
  $('#partie').hidden = fini;
  $('#bilan').hidden = !fini;
  if (fini) afficherBilan(); else afficherQuestion();
}

function afficherQuestion() {
  const i = etat.position;
  const { question, choix, reponse } = questions[i];
  const donnee = etat.reponses[i];
  const repondu = donnee !== undefined;

  $('#progression').textContent = `Question ${i + 1} sur ${questions.length}`;
  $('#question').textContent = question;
  $('#choix').replaceChildren(...choix.map((texte, n) => {
    const bouton = document.createElement('button');
    bouton.type = 'button';
    bouton.textContent = texte;
    bouton.disabled = repondu;
    if (repondu && n === reponse) bouton.classList.add('correct');
    if (repondu && n === donnee && n !== reponse) bouton.classList.add('incorrect');
    bouton.addEventListener('click', () => repondre(n));
    return bouton;
  }));
  $('#retour').textContent = !repondu ? ''
    : juste(i) ? 'Bonne réponse !'
    : `Mauvaise réponse : c’était ${choix[reponse]}`;
  $('#suivant').disabled = !repondu;
  $('#suivant').textContent = i + 1 < questions.length ? 'Question suivante' : 'Voir le bilan';
}

function afficherBilan() {
  const n = points();
  const phrase = document.createElement('p');
  phrase.textContent = `Vous avez obtenu ${n} ${n > 1 ? 'bonnes réponses' : 'bonne réponse'} sur ${questions.length}.`;
  const manquees = questions.filter((_, i) => !juste(i));
  if (manquees.length === 0) {
    const bravo = document.createElement('p');
    bravo.textContent = 'Sans faute !';
    $('#bilan').replaceChildren(phrase, bravo);
    return;
  }
  const titre = document.createElement('h2');
  titre.textContent = 'À revoir';
  const liste = document.createElement('ul');
  for (const m of manquees) {
    const ligne = document.createElement('li');
    ligne.textContent = `${m.question} ${m.choix[m.reponse]}`;
    liste.append(ligne);
  }
  $('#bilan').replaceChildren(phrase, titre, liste);
}

function repondre(n) {
  if (etat.reponses[etat.position] !== undefined) return;
  etat.reponses[etat.position] = n;
  enregistrer();
  afficher();
  $('#suivant').focus();
}

$('#suivant').addEventListener('click', () => {
  etat.position += 1;
  enregistrer();
  afficher();
});

$('#recommencer').addEventListener('click', () => {
  etat = { position: 0, reponses: [] };
  enregistrer();
  if (questions.length) afficher();
});

try {
  const reponse = await fetch('questions.json');
  if (!reponse.ok) throw new Error(reponse.status);
  questions = await reponse.json();
  retrouver();
  afficher();
} catch {
  $('#question').textContent = 'Les questions n’ont pas pu être chargées.';
}

import { lerEstacoes, lerTexto, mostrarErro } from './dados.js';

lerEstacoes().then((estacoes) => {
  const maisAlta = estacoes.reduce((a, b) => ((b.altitude_m ?? -Infinity) > (a.altitude_m ?? -Infinity) ? b : a));
  document.getElementById('total').textContent = estacoes.length;
  document.getElementById('mais-alta').textContent = maisAlta.nome;
}).catch(mostrarErro);

lerTexto('roteiro.txt').then((texto) => {
  const paragrafos = texto.trim().split(/\r?\n\s*\n/).map((trecho) => {
    const p = document.createElement('p');
    p.textContent = trecho.trim();
    return p;
  });
  document.getElementById('roteiro').replaceChildren(...paragrafos);
}).catch(mostrarErro);

async function obter(ficheiro) {
  const resposta = await fetch(ficheiro);
  if (!resposta.ok) throw new Error(`${ficheiro}: ${resposta.status}`);
  return resposta;
}

async function mostrarNumeros() {
  const estacoes = await (await obter('estacoes.json')).json();
  const maisAlta = estacoes.reduce((a, b) => (b.altitude_m > a.altitude_m ? b : a));
  document.getElementById('total').textContent = estacoes.length;
  document.getElementById('mais-alta').textContent = maisAlta.nome;
}

async function mostrarRoteiro() {
  const texto = await (await obter('roteiro.txt')).text();
  const paragrafos = texto.trim().split(/(?:\r?\n){2,}/).map(conteudo => {
    const p = document.createElement('p');
    p.textContent = conteudo;
    return p;
  });
  document.getElementById('roteiro').replaceChildren(...paragrafos);
}

mostrarNumeros().catch(() => {
  document.getElementById('total').textContent = 'sem dados';
  document.getElementById('mais-alta').textContent = 'sem dados';
});
mostrarRoteiro().catch(() => {
  document.getElementById('roteiro').textContent = 'Não foi possível ler o roteiro.';
});

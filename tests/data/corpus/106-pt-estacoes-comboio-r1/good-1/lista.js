const CAMPOS = ['codigo', 'nome', 'linha', 'altitude_m', 'ano_abertura', 'passageiros_dia', 'acessivel'];
const seletor = document.getElementById('linha');
const cabecalho = document.getElementById('altitude');
let estacoes = [];
let sentido = 0;   // 0: ordem do ficheiro, 1: crescente, -1: decrescente

function escrever(valor) {
  if (valor === null || valor === undefined) return '—';
  if (typeof valor === 'boolean') return valor ? 'Sim' : 'Não';
  if (typeof valor === 'number') return valor.toLocaleString('pt-PT', { useGrouping: false });
  return valor;
}

function desenhar() {
  const visiveis = estacoes.filter(e => !seletor.value || e.linha === seletor.value);
  if (sentido) visiveis.sort((a, b) => sentido * (a.altitude_m - b.altitude_m));
  document.querySelector('#tabela tbody').replaceChildren(...visiveis.map(estacao => {
    const tr = document.createElement('tr');
    for (const campo of CAMPOS) tr.insertCell().textContent = escrever(estacao[campo]);
    return tr;
  }));
  cabecalho.setAttribute('aria-sort', sentido === 1 ? 'ascending' : sentido === -1 ? 'descending' : 'none');
}

function ordenar() {
  sentido = sentido === 1 ? -1 : 1;
  desenhar();
}

seletor.addEventListener('change', desenhar);
cabecalho.addEventListener('click', ordenar);
cabecalho.addEventListener('keydown', evento => {
  if (evento.key === 'Enter' || evento.key === ' ') {
    evento.preventDefault();
    ordenar();
  }
});

fetch('estacoes.json')
  .then(resposta => {
    if (!resposta.ok) throw new Error(resposta.status);
    return resposta.json();
  })
  .then(dados => {
    estacoes = dados;
    for (const linha of new Set(dados.map(e => e.linha))) seletor.add(new Option(linha, linha));
    desenhar();
  })
  .catch(() => {
    document.getElementById('aviso').textContent = 'Não foi possível ler a lista de estações.';
  });

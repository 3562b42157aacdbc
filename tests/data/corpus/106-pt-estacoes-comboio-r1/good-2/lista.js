import { lerEstacoes, mostrarErro } from './dados.js';

const seletor = document.getElementById('linha');
const corpo = document.getElementById('tabela').tBodies[0];
const cabecalho = document.getElementById('cab-altitude');

const numero = (n) => (n === null ? '—' : String(n).replace('.', ','));
const simNao = (v) => (v === null ? '—' : v ? 'Sim' : 'Não');
const texto = (t) => t ?? '—';

const COLUNAS = [
  ['codigo', texto], ['nome', texto], ['linha', texto],
  ['altitude_m', numero, 'num'], ['ano_abertura', numero, 'num'], ['passageiros_dia', numero, 'num'],
  ['acessivel', simNao],
];

let estacoes = [];
let sentido = 0; // 0: ordem do ficheiro, 1: crescente, -1: decrescente

function desenhar() {
  const visiveis = estacoes.filter((e) => seletor.value === '' || e.linha === seletor.value);
  if (sentido !== 0) {
    visiveis.sort((a, b) => {
      if (a.altitude_m === null || b.altitude_m === null) return (a.altitude_m === null) - (b.altitude_m === null);
      return sentido * (a.altitude_m - b.altitude_m);
    });
  }
  corpo.replaceChildren(...visiveis.map((estacao) => {
    const tr = document.createElement('tr');
    for (const [chave, formato, classe] of COLUNAS) {
      const td = tr.insertCell();
      td.textContent = formato(estacao[chave]);
      if (classe) td.className = classe;
    }
    return tr;
  }));
}

cabecalho.addEventListener('click', () => {
  sentido = sentido === 1 ? -1 : 1;
  cabecalho.setAttribute('aria-sort', sentido === 1 ? 'ascending' : 'descending');
  desenhar();
});
seletor.addEventListener('change', desenhar);

try {
  estacoes = await lerEstacoes();
  const linhas = [...new Set(estacoes.map((e) => e.linha).filter(Boolean))].sort((a, b) => a.localeCompare(b, 'pt'));
  seletor.append(...linhas.map((l) => new Option(l, l)));
  desenhar();
} catch (causa) {
  mostrarErro(causa);
}

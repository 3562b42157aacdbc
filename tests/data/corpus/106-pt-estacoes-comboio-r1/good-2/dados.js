// Leitura dos ficheiros, comum às duas páginas.

async function pedir(nome) {
  const resposta = await fetch(nome);
  if (!resposta.ok) throw new Error(`${nome}: ${resposta.status}`);
  return resposta;
}

export const lerEstacoes = async () => (await pedir('estacoes.json')).json();
export const lerTexto = async (nome) => (await pedir(nome)).text();

export function mostrarErro(causa) {
  const aviso = document.getElementById('erro');
  aviso.textContent = `Não foi possível ler os dados (${causa.message}).`;
  aviso.hidden = false;
}

const CLAVE = 'conversor-historial';
const MAXIMO = 5;

// "a base" y "desde base": la base es m, g o K.
const lineal = factor => ({ aBase: x => x * factor, deBase: x => x / factor });
const MAGNITUDES = {
  longitud: {
    m:  { nombre: 'metros', ...lineal(1) },
    km: { nombre: 'kilómetros', ...lineal(1000) },
    in: { nombre: 'pulgadas', ...lineal(0.0254) },
    ft: { nombre: 'pies', ...lineal(0.3048) },
    mi: { nombre: 'millas', ...lineal(1609.344) }
  },
  masa: {
    g:  { nombre: 'gramos', ...lineal(1) },
    kg: { nombre: 'kilogramos', ...lineal(1000) },
    oz: { nombre: 'onzas', ...lineal(28.349523125) },
    lb: { nombre: 'libras', ...lineal(453.59237) }
  },
  temperatura: {
    '°C': { nombre: 'grados Celsius', aBase: x => x + 273.15, deBase: k => k - 273.15 },
    '°F': { nombre: 'grados Fahrenheit', aBase: x => (x + 459.67) * 5 / 9, deBase: k => k * 9 / 5 - 459.67 },
    'K':  { nombre: 'kelvin', aBase: x => x, deBase: k => k }
  }
};

const el = id => document.getElementById(id);
let ultima = null;   // texto de la conversión válida que se ve ahora

function leerNumero(texto) {
  const limpio = texto.trim().replace('\u2212', '-').replace(',', '.');
  return /^[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?$/i.test(limpio) ? Number(limpio) : NaN;
}

function escribirNumero(x) {
  const redondo = Number(x.toFixed(4)) || 0;   // "|| 0" quita el cero negativo
  return redondo.toLocaleString('es-ES', { maximumFractionDigits: 4, useGrouping: false });
}

function llenarUnidades() {
  const unidades = Object.entries(MAGNITUDES[el('magnitud').value]);
  for (const [id, elegida] of [['desde', 0], ['hasta', 1]]) {
    el(id).replaceChildren(...unidades.map(([simbolo, u]) => new Option(`${u.nombre} (${simbolo})`, simbolo)));
    el(id).selectedIndex = elegida;
  }
}

function comprobar(x, magnitud, unidad) {
  if (!Number.isFinite(x)) return 'Introduce un número válido';
  if (magnitud === 'temperatura') {
    return unidad.aBase(x) < -1e-9 ? 'Por debajo del cero absoluto' : '';
  }
  return x < 0 ? 'El valor no puede ser negativo' : '';
}

function calcular() {
  const magnitud = el('magnitud').value;
  const desde = MAGNITUDES[magnitud][el('desde').value];
  const hasta = MAGNITUDES[magnitud][el('hasta').value];
  const x = leerNumero(el('valor').value);
  const aviso = comprobar(x, magnitud, desde);
  const salida = aviso ? '' : `${escribirNumero(el('desde').value === el('hasta').value ? x : hasta.deBase(desde.aBase(x)))} ${el('hasta').value}`;

  el('mensaje').textContent = aviso;
  el('resultado').textContent = salida;
  el('guardar').disabled = Boolean(aviso);
  ultima = aviso ? null : `${escribirNumero(x)} ${el('desde').value} = ${salida}`;
}

function leerHistorial() {
  try { return JSON.parse(localStorage.getItem(CLAVE)) || []; } catch { return []; }
}

function mostrarHistorial() {
  el('historial').replaceChildren(...leerHistorial().map(texto => {
    const linea = document.createElement('li');
    linea.textContent = texto;
    return linea;
  }));
}

el('magnitud').addEventListener('change', () => { llenarUnidades(); calcular(); });
el('valor').addEventListener('input', calcular);
el('desde').addEventListener('change', calcular);
el('hasta').addEventListener('change', calcular);

el('intercambiar').addEventListener('click', () => {
  [el('desde').value, el('hasta').value] = [el('hasta').value, el('desde').value];
  calcular();
});

el('guardar').addEventListener('click', () => {
  if (!ultima) return;
  localStorage.setItem(CLAVE, JSON.stringify([ultima, ...leerHistorial()].slice(0, MAXIMO)));
  mostrarHistorial();
});

el('borrar').addEventListener('click', () => {
  localStorage.removeItem(CLAVE);
  mostrarHistorial();
});

llenarUnidades();
calcular();
mostrarHistorial();

// Todo el cálculo se hace con fracciones de enteros (BigInt): no hay errores de redondeo intermedios.

const fraccion = (num, den = 1n) => ({ num, den });
const suma = (a, b) => fraccion(a.num * b.den + b.num * a.den, a.den * b.den);
const resta = (a, b) => suma(a, fraccion(-b.num, b.den));
const producto = (a, b) => fraccion(a.num * b.num, a.den * b.den);
const cociente = (a, b) => producto(a, b.num < 0n ? fraccion(-b.den, -b.num) : fraccion(b.den, b.num));

/** Convierte «-2,5» o «-2.5» en fracción; devuelve null si el texto no es un número. */
function leer(texto) {
  const partes = texto.trim().replace(/^−/, '-').match(/^([+-]?)(\d*)(?:[.,](\d*))?$/);
  if (!partes || !(partes[2] || partes[3])) return null;
  const [, signo, enteros, decimales = ''] = partes;
  const num = BigInt(enteros + decimales);
  return fraccion(signo === '-' ? -num : num, 10n ** BigInt(decimales.length));
}

/** Redondea a cuatro decimales, quita los ceros finales y pone coma. */
function escribir({ num, den }) {
  const negativo = num < 0n;
  const absoluto = negativo ? -num : num;
  const diezmilesimas = (absoluto * 20000n + den) / (2n * den);
  const entero = diezmilesimas / 10000n;
  const resto = String(diezmilesimas % 10000n).padStart(4, '0').replace(/0+$/, '');
  return (negativo && diezmilesimas > 0n ? '-' : '') + entero + (resto && ',' + resto);
}

// base = valor · factor + cero   (base: metro, gramo o kelvin)
const u = (simbolo, nombre, factor, cero = '0') => ({ simbolo, nombre, factor: typeof factor === 'string' ? leer(factor) : factor, cero: typeof cero === 'string' ? leer(cero) : cero });
const CINCO_NOVENOS = fraccion(5n, 9n);
const MAGNITUDES = {
  Longitud: [u('m', 'metros', '1'), u('km', 'kilómetros', '1000'), u('in', 'pulgadas', '0.0254'), u('ft', 'pies', '0.3048'), u('mi', 'millas', '1609.344')],
  Masa: [u('g', 'gramos', '1'), u('kg', 'kilogramos', '1000'), u('oz', 'onzas', '28.349523125'), u('lb', 'libras', '453.59237')],
  Temperatura: [u('°C', 'grados Celsius', '1', '273.15'), u('°F', 'grados Fahrenheit', CINCO_NOVENOS, producto(leer('459.67'), CINCO_NOVENOS)), u('K', 'kelvin', '1')],
};

const CLAVE = 'conversor-unidades.historial';
const MAXIMO = 5;
const ver = Object.fromEntries(['magnitud', 'valor', 'desde', 'hasta', 'resultado', 'mensaje', 'intercambiar', 'guardar', 'historial', 'borrar']
  .map((id) => [id, document.getElementById(id)]));

const unidad = (lista) => MAGNITUDES[ver.magnitud.value].find((x) => x.simbolo === lista.value);

/** Calcula a partir de lo que hay en la página: { resultado, linea } o { aviso }. */
function convertir() {
  const valor = leer(ver.valor.value);
  if (!valor) return { aviso: 'Introduce un número válido' };
  const de = unidad(ver.desde), a = unidad(ver.hasta);
  const base = suma(producto(valor, de.factor), de.cero);
  if (base.num < 0n) {
    return { aviso: ver.magnitud.value === 'Temperatura' ? 'Por debajo del cero absoluto' : 'El valor no puede ser negativo' };
  }
  const resultado = `${escribir(cociente(resta(base, a.cero), a.factor))} ${a.simbolo}`;
  const original = ver.valor.value.trim().replace('.', ',').replace('−', '-')
    .replace(/,$/, '').replace(/^([+-]?),/, (_, signo) => signo + '0,');
  return { resultado, linea: `${original} ${de.simbolo} = ${resultado}` };
}

function actualizar() {
  const { resultado = '', aviso = '' } = convertir();
  ver.resultado.textContent = resultado;
  ver.mensaje.textContent = aviso;
  ver.valor.setAttribute('aria-invalid', String(aviso !== ''));
  ver.guardar.disabled = aviso !== '';
}

function ponerUnidades() {
  const opciones = () => MAGNITUDES[ver.magnitud.value].map((x) => new Option(x.nombre, x.simbolo));
  ver.desde.replaceChildren(...opciones());
  ver.hasta.replaceChildren(...opciones());
  ver.hasta.selectedIndex = 1;
  actualizar();
}

let historial = [];
try {
  const guardado = JSON.parse(localStorage.getItem(CLAVE));
  if (Array.isArray(guardado)) historial = guardado.filter((x) => typeof x === 'string').slice(0, MAXIMO);
} catch { /* sin historial utilizable se empieza de cero */ }

function mostrarHistorial() {
  ver.historial.replaceChildren(...historial.map((linea) => {
    const li = document.createElement('li');
    li.textContent = linea;
    return li;
  }));
  ver.borrar.disabled = historial.length === 0;
}

function cambiarHistorial(nuevo) {
  historial = nuevo.slice(0, MAXIMO);
  try { localStorage.setItem(CLAVE, JSON.stringify(historial)); } catch { /* almacenamiento bloqueado */ }
  mostrarHistorial();
}

ver.magnitud.append(...Object.keys(MAGNITUDES).map((nombre) => new Option(nombre)));
ver.magnitud.addEventListener('change', ponerUnidades);
ver.valor.addEventListener('input', actualizar);
ver.desde.addEventListener('change', actualizar);
ver.hasta.addEventListener('change', actualizar);
ver.intercambiar.addEventListener('click', () => {
  [ver.desde.value, ver.hasta.value] = [ver.hasta.value, ver.desde.value];
  actualizar();
});
ver.guardar.addEventListener('click', () => {
  const { linea } = convertir();
  if (linea) cambiarHistorial([linea, ...historial]);
});
ver.borrar.addEventListener('click', () => cambiarHistorial([]));

ponerUnidades();
mostrarHistorial();

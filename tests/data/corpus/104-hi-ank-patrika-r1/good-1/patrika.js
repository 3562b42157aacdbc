(() => {
  const NYUNTAM = 33;
  let vishay = [];
  let chhatra = [];
  let ausatSe = false;

  const id = naam => document.getElementById(naam);

  // हर छात्र का औसत और परिणाम एक बार निकाल कर रख लिया जाता है
  function jaancho(c) {
    const ank = vishay.map(v => c['अंक'][v] ?? null);
    const ausat = ank.reduce((yog, a) => yog + (a ?? 0), 0) / vishay.length;
    const safal = ank.every(a => a !== null && a >= NYUNTAM);
    return { kramank: c['अनुक्रमांक'], naam: c['नाम'], ank, ausat, parinaam: safal ? 'उत्तीर्ण' : 'अनुत्तीर्ण' };
  }

  function khana(pankti, likha, varg) {
    const td = pankti.insertCell();
    td.textContent = likha;
    if (varg) td.className = varg;
  }

  function dikhao() {
    const chuna = id('chhanni').value;
    const suchi = chhatra.filter(c => chuna === 'सभी' || c.parinaam === chuna);
    suchi.sort((a, b) => ausatSe ? b.ausat - a.ausat : a.kramank - b.kramank);
    const tbody = id('parinaam').tBodies[0];
    tbody.replaceChildren();
    for (const c of suchi) {
      const tr = tbody.insertRow();
      khana(tr, c.kramank);
      khana(tr, c.naam);
      for (const a of c.ank) khana(tr, a === null ? 'अनु.' : a, a === null || a < NYUNTAM ? 'kam' : '');
      khana(tr, c.ausat.toFixed(1));
      khana(tr, c.parinaam, c.parinaam === 'उत्तीर्ण' ? 'uttirn' : 'anuttirn');
    }
    id('kram').textContent = ausatSe ? 'अनुक्रमांक के क्रम में लगाएँ' : 'औसत के क्रम में लगाएँ';
  }

  function saar() {
    const safal = chhatra.filter(c => c.parinaam === 'उत्तीर्ण').length;
    id('saar').textContent = `कुल छात्र: ${chhatra.length}, उत्तीर्ण: ${safal}, अनुत्तीर्ण: ${chhatra.length - safal}`;
    id('kaksha-ausat').textContent = (chhatra.reduce((s, c) => s + c.ausat, 0) / chhatra.length).toFixed(1);
  }

  fetch('ank.json')
    .then(uttar => {
      if (!uttar.ok) throw new Error(uttar.status);
      return uttar.json();
    })
    .then(data => {
      vishay = data['विषय'];
      chhatra = data['छात्र'].map(jaancho);
      id('vidyalay').textContent = data['विद्यालय'];
      const tr = id('parinaam').tHead.rows[0];
      for (const shirsh of ['अनुक्रमांक', 'नाम', ...vishay, 'औसत', 'परिणाम']) {
        const th = document.createElement('th');
        th.scope = 'col';
        th.textContent = shirsh;
        tr.append(th);
      }
      saar();
      dikhao();
      id('patrika').hidden = false;
    })
    .catch(() => {
      id('truti').textContent = 'अंकों की फ़ाइल ank.json नहीं मिली या पढ़ी नहीं जा सकी।';
      id('truti').hidden = false;
    });

  id('kram').addEventListener('click', () => { ausatSe = !ausatSe; dikhao(); });
  id('chhanni').addEventListener('change', dikhao);
})();

(function () {
  'use strict';

  var UTTIRN_ANK = 33;
  var el = function (id) { return document.getElementById(id); };

  // योग पूर्णांक है, इसलिए दशमलव में गोल करना भी पूर्णांकों से ही होता है।
  function ekDashamlav(yog, bhaajak) {
    var dashansh = Math.floor((yog * 20 + bhaajak) / (2 * bhaajak));
    return Math.floor(dashansh / 10) + '.' + (dashansh % 10);
  }

  // हर छात्र के लिए योग और परिणाम निकालता है।
  function jodo(chhatra, vishay) {
    var ank = vishay.map(function (v) {
      var a = chhatra['अंक'][v];
      return a === undefined ? null : a;
    });
    return {
      kramank: chhatra['अनुक्रमांक'],
      naam: chhatra['नाम'],
      ank: ank,
      yog: ank.reduce(function (s, a) { return s + (a === null ? 0 : a); }, 0),
      uttirn: ank.every(function (a) { return a !== null && a >= UTTIRN_ANK; })
    };
  }

  function khana(pankti, paath, varg) {
    var td = pankti.insertCell();
    td.textContent = paath;
    if (varg) td.className = varg;
  }

  function banao(data) {
    var vishay = data['विषय'];
    var suchi = data['छात्र'].map(function (c) { return jodo(c, vishay); });
    var uttirn = suchi.filter(function (c) { return c.uttirn; }).length;
    var kulYog = suchi.reduce(function (s, c) { return s + c.yog; }, 0);
    var ausatKram = false;

    el('vidyalaya').textContent = data['विद्यालय'];
    el('kaksha').textContent = 'कक्षा ' + data['कक्षा'];
    el('saar').textContent = 'कुल छात्र: ' + suchi.length + ', उत्तीर्ण: ' + uttirn + ', अनुत्तीर्ण: ' + (suchi.length - uttirn);
    el('kaksha-ausat').textContent = ekDashamlav(kulYog, vishay.length * suchi.length);

    ['अनुक्रमांक', 'नाम'].concat(vishay, ['औसत', 'परिणाम']).forEach(function (shirshak) {
      var th = document.createElement('th');
      th.scope = 'col';
      th.textContent = shirshak;
      el('parinaam').tHead.rows[0].appendChild(th);
    });

    function dikhao() {
      var chunav = el('chhanni').value;
      var tbody = el('parinaam').tBodies[0];
      tbody.textContent = '';
      suchi.filter(function (c) {
        return chunav === 'सभी' || (chunav === 'उत्तीर्ण') === c.uttirn;
      }).sort(function (a, b) {
        return (ausatKram ? b.yog - a.yog : 0) || a.kramank - b.kramank;
      }).forEach(function (c) {
        var tr = tbody.insertRow();
        khana(tr, c.kramank);
        khana(tr, c.naam);
        c.ank.forEach(function (a) {
          khana(tr, a === null ? 'अनु.' : a, a === null || a < UTTIRN_ANK ? 'kam' : '');
        });
        khana(tr, ekDashamlav(c.yog, vishay.length));
        khana(tr, c.uttirn ? 'उत्तीर्ण' : 'अनुत्तीर्ण', c.uttirn ? '' : 'anuttirn');
      });
    }

    el('kram').addEventListener('click', function () {
      ausatKram = !ausatKram;
      this.setAttribute('aria-pressed', String(ausatKram));
      this.textContent = ausatKram ? 'अनुक्रमांक के क्रम में लगाएँ' : 'औसत के घटते क्रम में लगाएँ';
      dikhao();
    });
    el('chhanni').addEventListener('change', dikhao);

    dikhao();
    el('patrika').hidden = false;
  }

  fetch('ank.json')
    .then(function (uttar) {
      if (!uttar.ok) throw new Error('स्थिति ' + uttar.status);
      return uttar.json();
    })
    .then(banao)
    .catch(function (galti) {
      console.warn(galti);
      el('truti').textContent = 'त्रुटि: अंकों की फ़ाइल ank.json नहीं मिली या पढ़ी नहीं जा सकी। कृपया बाद में फिर कोशिश करें।';
      el('truti').hidden = false;
    });
})();

// A small stand-in for highlight.js, for pages of the corpus.
window.hljs={highlightElement(e){e.classList.add('hljs')},highlightAll(){document.querySelectorAll('pre code').forEach((e)=>e.classList.add('hljs'))},highlight(t){return{value:t.replace(/&/g,'&amp;').replace(/</g,'&lt;')}},highlightAuto(t){return{value:t.replace(/</g,'&lt;')}},configure(){}};

// A small stand-in for highlight.js, for pages of the corpus.
window.hljs = (() => {
  const plain = (text) => text.replace(/&/g, "&amp;").replace(/</g, "&lt;").replace(/>/g, "&gt;");
  const value = (text) => plain(text)
    .replace(/(["'`])[^"'`\n]*\1/g, '<span class="hljs-string">$&</span>')
    .replace(/\b(const|let|var|function|return|if|else|for|def|class|import|print)\b/g, '<span class="hljs-keyword">$&</span>');
  const highlightElement = (element) => { element.innerHTML = value(element.textContent); element.classList.add("hljs"); };
  return {
    configure() {}, highlightElement, highlightBlock: highlightElement,
    highlightAll() { document.querySelectorAll("pre code").forEach(highlightElement); },
    highlight: (text) => ({ value: value(text) }), highlightAuto: (text) => ({ value: value(text), language: "" }),
    getLanguage: () => ({}),
  };
})();

(function () {
  const output = document.getElementById('markdown-output');
  const source = document.getElementById('source');
  const error = document.getElementById('error');

  function render() {
    output.innerHTML = marked.parse(source.value);
    if (window.hljs) {
      output.querySelectorAll('pre code').forEach((block) => hljs.highlightElement(block));
    }
  }

  async function load() {
    error.hidden = true;
    try {
      if (!window.marked) throw new Error('marked is not available');
      const response = await fetch('input.md');
      if (!response.ok) throw new Error('input.md: HTTP ' + response.status);
      source.value = await response.text();
      render();
    } catch (reason) {
      error.textContent = 'Nothing to show. ' + reason.message;
      error.hidden = false;
    }
  }

  source.addEventListener('input', () => {
    if (window.marked) render();
  });
  document.getElementById('restore').addEventListener('click', load);

  load();
})();

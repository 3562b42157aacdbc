class MarkdownReader {
  constructor(output, notice) {
    this.output = output;
    this.notice = notice;
  }

  async open(address) {
    try {
      const source = await this.download(address);
      this.render(source);
    } catch (error) {
      this.fail(error);
    } finally {
      this.output.removeAttribute('aria-busy');
    }
  }

  async download(address) {
    const response = await fetch(address);
    if (!response.ok) {
      throw new Error(`${address} is not available (${response.status})`);
    }
    return response.text();
  }

  render(source) {
    if (!window.marked) throw new Error('the converter did not load');
    this.output.innerHTML = marked.parse(source);
    this.colourCode();
    const heading = this.output.querySelector('h1');
    if (heading) document.title = heading.textContent;
  }

  // Without highlight.js the code is still readable, so this is no error.
  colourCode() {
    if (!window.hljs) return;
    for (const block of this.output.querySelectorAll('pre code')) {
      hljs.highlightElement(block);
    }
  }

  fail(error) {
    this.notice.textContent = `The document cannot be shown: ${error.message}.`;
    this.notice.hidden = false;
  }
}

new MarkdownReader(
  document.querySelector('#markdown-output'),
  document.querySelector('#notice'),
).open('input.md');

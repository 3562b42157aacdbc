const SOURCE = "input.md";

const state = document.querySelector("#state");
const output = document.querySelector("#markdown-output");

async function fetchText(url) {
  const response = await fetch(url);
  if (!response.ok) {
    throw new Error(`${url} answered with status ${response.status}`);
  }
  return response.text();
}

function highlightCode(root) {
  // Without the library the code is still readable, only uncoloured.
  if (!window.hljs) return;
  root.querySelectorAll("pre code").forEach((block) => hljs.highlightElement(block));
}

function render(markdown) {
  output.innerHTML = marked.parse(markdown);
  highlightCode(output);

  const heading = output.querySelector("h1");
  if (heading) {
    document.title = heading.textContent;
  }
}

async function start() {
  try {
    if (!window.marked) {
      throw new Error("the Markdown library did not load");
    }
    render(await fetchText(SOURCE));
    state.textContent = "";
  } catch (error) {
    state.classList.add("error");
    state.textContent = `The document cannot be shown: ${error.message}.`;
  }
}

start();

(() => {
  const SAMPLE = "local_sample.png";
  const PROXY = "https://wsrv.nl/?url=";
  const LOAD_TIMEOUT_MS = 6000;

  const $ = (id) => document.getElementById(id);
  const form = $("thumb-form");
  const urlInput = $("image-url");
  const sizeSelect = $("size");
  const message = $("message");
  const original = $("original");
  const thumbnail = $("thumbnail");
  const download = $("download");

  let run = 0;

  function say(text, isError = false) {
    message.textContent = text;
    message.classList.toggle("error", isError);
  }

  function clearResult() {
    thumbnail.hidden = true;
    thumbnail.removeAttribute("src");
    download.hidden = true;
    download.removeAttribute("href");
    $("thumbnail-size").textContent = "";
    $("original-size").textContent = "";
  }

  function loadImage(src) {
    return new Promise((resolve, reject) => {
      const img = new Image();
      const timer = setTimeout(() => reject(new Error("timeout")), LOAD_TIMEOUT_MS);
      // Without this the canvas would be tainted and could not be exported.
      img.crossOrigin = "anonymous";
      img.onload = () => { clearTimeout(timer); resolve(img); };
      img.onerror = () => { clearTimeout(timer); reject(new Error("load")); };
      img.src = src;
    });
  }

  // Many hosts send no CORS headers; their images are tried again through an image proxy that does.
  async function loadReadable(address) {
    const url = new URL(address, document.baseURI);
    try {
      return await loadImage(url.href);
    } catch (err) {
      const foreign = /^https?:$/.test(url.protocol) && url.origin !== window.location.origin;
      if (!foreign) throw err;
      return loadImage(PROXY + encodeURIComponent(url.href));
    }
  }

  function shrink(img, longest) {
    const width = img.naturalWidth || longest;
    const height = img.naturalHeight || longest;
    const scale = Math.min(1, longest / Math.max(width, height));
    const canvas = document.createElement("canvas");
    canvas.width = Math.max(1, Math.round(width * scale));
    canvas.height = Math.max(1, Math.round(height * scale));
    const context = canvas.getContext("2d");
    context.imageSmoothingQuality = "high";
    context.drawImage(img, 0, 0, canvas.width, canvas.height);
    return canvas;
  }

  function fileNameFor(address) {
    if (/^(data|blob):/i.test(address)) return "thumbnail.png";
    const last = new URL(address, document.baseURI).pathname.split("/").pop() || "";
    const base = last.replace(/\.[^.]*$/, "").replace(/[^\w-]+/g, "-").replace(/^-+|-+$/g, "");
    return base ? base + "-thumbnail.png" : "thumbnail.png";
  }

  async function generate() {
    const ticket = ++run;
    const address = urlInput.value.trim() || SAMPLE;
    urlInput.value = address;
    clearResult();
    say("Loading the image…");

    try {
      const img = await loadReadable(address);
      if (ticket !== run) return;
      const canvas = shrink(img, Number(sizeSelect.value));
      const png = canvas.toDataURL("image/png");

      original.src = img.src;
      original.hidden = false;
      $("original-size").textContent = `${img.naturalWidth} × ${img.naturalHeight}`;

      thumbnail.src = png;
      thumbnail.hidden = false;
      $("thumbnail-size").textContent = `${canvas.width} × ${canvas.height}`;
      download.href = png;
      download.download = fileNameFor(address);
      download.hidden = false;
      say("Thumbnail ready.");
    } catch (err) {
      if (ticket !== run) return;
      original.hidden = true;
      say("No thumbnail: the address does not lead to an image this page can read.", true);
    }
  }

  form.addEventListener("submit", (event) => {
    event.preventDefault();
    generate();
  });
  sizeSelect.addEventListener("change", generate);
  $("use-sample").addEventListener("click", () => {
    urlInput.value = SAMPLE;
    generate();
  });

  generate();
})();

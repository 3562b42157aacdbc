// A small stand-in for qrcodejs, for pages of the corpus.
window.QRCode = class {
  constructor(element, options) { this.element = typeof element === "string" ? document.getElementById(element) : element; this.makeCode((options && options.text) || options); }
  makeCode(text) { const canvas = document.createElement("canvas"), img = document.createElement("img"); canvas.width = canvas.height = 64; canvas.getContext("2d").fillText(String(text), 0, 20); img.src = canvas.toDataURL(); this.element.replaceChildren(canvas, img); }
  clear() { this.element.replaceChildren(); }
};

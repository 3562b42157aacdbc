(function () {
  const box = document.querySelector('.carousel');
  const track = box.querySelector('.track');
  const slides = [...track.children];
  const dots = box.querySelector('.dots');
  const status = document.getElementById('carousel-status');
  let current = 0;
  let timer = null;

  slides.forEach((slide, i) => {
    const dot = document.createElement('button');
    dot.type = 'button';
    dot.setAttribute('aria-label', `Testimonial ${i + 1} of ${slides.length}`);
    dot.addEventListener('click', () => show(i, true));
    dots.append(dot);
  });

  function show(index, byUser) {
    current = (index + slides.length) % slides.length;
    track.style.transform = `translateX(${-100 * current}%)`;
    slides.forEach((slide, i) => slide.setAttribute('aria-hidden', String(i !== current)));
    [...dots.children].forEach((dot, i) => {
      if (i === current) dot.setAttribute('aria-current', 'true');
      else dot.removeAttribute('aria-current');
    });
    if (byUser) {
      status.textContent = `Testimonial ${current + 1} of ${slides.length}`;
      stop();               // whoever steers by hand is not interrupted
    }
  }

  function start() { timer = setInterval(() => show(current + 1, false), 7000); }
  function stop() { clearInterval(timer); timer = null; }

  document.getElementById('prev').addEventListener('click', () => show(current - 1, true));
  document.getElementById('next').addEventListener('click', () => show(current + 1, true));
  box.addEventListener('keydown', event => {
    if (event.key === 'ArrowLeft') show(current - 1, true);
    if (event.key === 'ArrowRight') show(current + 1, true);
  });
  box.addEventListener('mouseenter', stop);
  box.addEventListener('focusin', stop);

  show(0, false);
  if (!matchMedia('(prefers-reduced-motion: reduce)').matches) start();
})();

document.documentElement.classList.add('js');
const calm = matchMedia('(prefers-reduced-motion: reduce)').matches;

/* Sections glide in when they scroll into view. */
const watcher = new IntersectionObserver((entries) => {
  for (const entry of entries) {
    if (!entry.isIntersecting) continue;
    entry.target.classList.add('seen');
    watcher.unobserve(entry.target);
  }
}, { threshold: 0.08 });
document.querySelectorAll('.reveal').forEach((section) => watcher.observe(section));

/* Carousel */
class Carousel {
  constructor(root) {
    this.root = root;
    this.track = root.querySelector('.track');
    this.slides = [...root.querySelectorAll('.slide')];
    this.index = 0;
    this.playing = !calm;
    this.position = root.querySelector('.position');
    this.pauseButton = root.querySelector('#pause');

    this.dots = this.slides.map((slide, i) => {
      slide.setAttribute('role', 'group');
      slide.setAttribute('aria-roledescription', 'slide');
      slide.setAttribute('aria-label', `${i + 1} of ${this.slides.length}`);
      const dot = document.createElement('button');
      dot.type = 'button';
      dot.setAttribute('aria-label', `Show testimonial ${i + 1}`);
      dot.addEventListener('click', () => this.go(i, true));
      return dot;
    });
    root.querySelector('#dots').append(...this.dots);
    root.querySelector('#previous').addEventListener('click', () => this.go(this.index - 1, true));
    root.querySelector('#next').addEventListener('click', () => this.go(this.index + 1, true));
    this.pauseButton.addEventListener('click', () => { this.playing = !this.playing; this.restart(); });

    root.addEventListener('keydown', (event) => {
      if (event.key === 'ArrowLeft') this.go(this.index - 1, true);
      else if (event.key === 'ArrowRight') this.go(this.index + 1, true);
      else return;
      event.preventDefault();
    });
    root.addEventListener('mouseenter', () => clearInterval(this.timer));
    root.addEventListener('mouseleave', () => this.restart());
    root.addEventListener('focusin', () => clearInterval(this.timer));
    root.addEventListener('focusout', () => this.restart());

    let startX = null;
    const pane = root.querySelector('.window');
    pane.addEventListener('touchstart', (e) => { startX = e.touches[0].clientX; }, { passive: true });
    pane.addEventListener('touchend', (e) => {
      const moved = e.changedTouches[0].clientX - startX;
      if (Math.abs(moved) > 40) this.go(this.index + (moved < 0 ? 1 : -1), true);
    });

    this.go(0);
    this.restart();
  }

  go(target, byHand = false) {
    const count = this.slides.length;
    this.index = (target + count) % count;
    this.track.style.transform = `translateX(${-100 * this.index}%)`;
    this.slides.forEach((slide, i) => { slide.inert = i !== this.index; slide.setAttribute('aria-hidden', String(i !== this.index)); });
    this.dots.forEach((dot, i) => dot.setAttribute('aria-current', String(i === this.index)));
    this.position.setAttribute('aria-live', byHand ? 'polite' : 'off');
    this.position.textContent = `${this.index + 1} / ${count}`;
  }

  restart() {
    clearInterval(this.timer);
    this.pauseButton.textContent = this.playing ? 'Pause' : 'Play';
    const busy = this.root.matches(':hover') || this.root.contains(document.activeElement);
    if (this.playing && !busy) this.timer = setInterval(() => this.go(this.index + 1), 6000);
  }
}
new Carousel(document.querySelector('.carousel'));

/* Forms */
const EMAIL = /^[^\s@<>(),;:"]+@[a-z0-9](?:[a-z0-9-]*[a-z0-9])?(?:\.[a-z0-9](?:[a-z0-9-]*[a-z0-9])?)*\.[a-z]{2,}$/i;

function complaint(input) {
  const value = input.value.trim();
  if (input.type === 'email') {
    if (input.validity.badInput || (value && (!EMAIL.test(value) || value.includes('..') || !input.checkValidity()))) return 'That does not look like an e-mail address, e.g. you@example.com.';
    return value ? '' : 'Please enter your e-mail address.';
  }
  return value ? '' : 'Please fill in this field.';
}

function check(input) {
  const text = complaint(input);
  document.getElementById(input.id + '-error').textContent = text;
  input.setAttribute('aria-invalid', String(Boolean(text)));
  return !text;
}

function setUp(form, thanks) {
  const inputs = [...form.querySelectorAll('input, textarea')];
  const done = form.querySelector('.done');
  inputs.forEach((input) => input.addEventListener('input', () => {
    done.textContent = '';
    if (input.getAttribute('aria-invalid') === 'true') check(input);
  }));
  form.addEventListener('submit', (event) => {
    event.preventDefault();
    done.textContent = '';
    const wrong = inputs.filter((input) => !check(input));
    if (wrong.length) {
      wrong[0].focus();
      return;
    }
    done.textContent = thanks(new FormData(form));
    form.reset();
    inputs.forEach((input) => input.removeAttribute('aria-invalid'));
  });
}

setUp(document.getElementById('newsletter-form'), (data) => `Thank you! ${data.get('email').trim()} is on the list.`);
setUp(document.getElementById('contact-form'), (data) => `Thank you, ${data.get('name').trim()}. We will answer soon.`);

document.querySelectorAll('[data-plan]').forEach((link) => link.addEventListener('click', () => {
  const message = document.getElementById('message');
  if (!message.value.trim()) message.value = `I am interested in the ${link.dataset.plan} plan.`;
}));

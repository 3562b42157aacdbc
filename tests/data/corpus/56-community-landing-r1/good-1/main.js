document.documentElement.classList.add('js');

// mobile menu
const menuButton = document.querySelector('.menu-button');
const menu = document.querySelector('#menu');

function setMenu(open) {
  menu.classList.toggle('open', open);
  menuButton.setAttribute('aria-expanded', String(open));
}
menuButton.addEventListener('click', () => setMenu(!menu.classList.contains('open')));
menu.addEventListener('click', (event) => {
  if (event.target.matches('a')) setMenu(false);
});

// blocks glide into place when they are scrolled into view
const observer = new IntersectionObserver((entries) => {
  entries.filter((entry) => entry.isIntersecting).forEach((entry) => {
    entry.target.classList.add('seen');
    observer.unobserve(entry.target);
  });
}, { threshold: 0.15 });
document.querySelectorAll('.reveal').forEach((element) => observer.observe(element));

// contact form
const form = document.querySelector('#contact-form');
const status = form.querySelector('.form-status');
const message = form.elements.namedItem('message');

document.querySelectorAll('[data-plan]').forEach((link) => {
  link.addEventListener('click', () => {
    if (!message.value) message.value = `I am interested in the ${link.dataset.plan} plan.`;
  });
});

form.addEventListener('submit', (event) => {
  event.preventDefault();
  const data = new FormData(form);
  const mail = new URL('mailto:hello@ledgerly.example');
  mail.search = `subject=${encodeURIComponent(`Question from ${data.get('name')}`)}&body=${encodeURIComponent(data.get('message'))}`;

  const link = document.createElement('a');
  link.href = mail.href;
  link.textContent = 'open it in your mail program';
  status.replaceChildren(`Thank you, ${data.get('name')}! Your message is ready: `, link, ' to send it off.');
  form.reset();
});

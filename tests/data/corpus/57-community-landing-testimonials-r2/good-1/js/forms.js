// One part without blanks, an @, and a domain with at least one inner dot.
const EMAIL = /^[^\s@"(),:;<>[\]\\]+@[a-z0-9](?:[a-z0-9-]*[a-z0-9])?(?:\.[a-z0-9](?:[a-z0-9-]*[a-z0-9])?)*\.[a-z]{2,}$/i;

function checkEmail(value) {
  const address = value.trim();
  if (!address) return 'Please enter your e-mail address.';
  if (!EMAIL.test(address) || address.includes('..')) return 'Please enter a valid e-mail address, like name@example.com.';
  return '';
}

function tell(id, text, ok) {
  const message = document.getElementById(id);
  message.textContent = text;
  message.className = 'message ' + (ok ? 'ok' : 'error');
}

function mark(field, bad) {
  if (bad) field.setAttribute('aria-invalid', 'true');
  else field.removeAttribute('aria-invalid');
}

const newsletter = document.getElementById('newsletter-form');
newsletter.addEventListener('submit', event => {
  event.preventDefault();
  const field = newsletter.elements.email;
  const error = checkEmail(field.value);
  mark(field, error);
  if (error) {
    tell('newsletter-message', error, false);
    field.focus();
    return;
  }
  tell('newsletter-message', `Thank you! ${field.value.trim()} is signed up.`, true);
  newsletter.reset();
});

const contact = document.getElementById('contact-form');
contact.addEventListener('submit', event => {
  event.preventDefault();
  const { name, email, text } = contact.elements;
  const errors = [
    [name, name.value.trim() ? '' : 'Please enter your name.'],
    [email, checkEmail(email.value)],
    [text, text.value.trim() ? '' : 'Please write a message.']
  ];
  errors.forEach(([field, error]) => mark(field, error));
  const first = errors.find(([, error]) => error);
  if (first) {
    tell('contact-message', first[1], false);
    first[0].focus();
    return;
  }
  tell('contact-message', `Thank you, ${name.value.trim()}. Your message has been noted.`, true);
  contact.reset();
});

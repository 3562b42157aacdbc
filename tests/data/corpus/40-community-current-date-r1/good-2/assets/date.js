const format = new Intl.DateTimeFormat('en-GB', { weekday: 'long', day: 'numeric', month: 'long', year: 'numeric' });

function refresh() {
  document.querySelector('#current-date').textContent = format.format(new Date());
}

refresh();
setInterval(refresh, 30_000);
document.addEventListener('visibilitychange', () => {
  if (!document.hidden) refresh();
});

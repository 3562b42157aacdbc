// Cards and headings glide into place the first time they come into view.
if ('IntersectionObserver' in window && !matchMedia('(prefers-reduced-motion: reduce)').matches) {
  const watcher = new IntersectionObserver(entries => {
    for (const entry of entries) {
      if (!entry.isIntersecting) continue;
      entry.target.classList.add('seen');
      watcher.unobserve(entry.target);
    }
  }, { threshold: 0.1 });
  document.querySelectorAll('h2, .scroll, .carousel, form').forEach(el => {
    el.classList.add('reveal');
    watcher.observe(el);
  });
}

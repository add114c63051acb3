// Runs before first paint (no module), so that a light-theme user sees no dark flash.
(() => {
  const stored = localStorage.getItem("holdpoint-theme");
  if (stored) document.documentElement.dataset.theme = stored;
})();

// Light or dark before anything is drawn: as Airflow around us, else as the system.
"use strict";
(() => {
  const system = window.matchMedia("(prefers-color-scheme: dark)");
  const outer = () => {
    try {
      const root = window.parent !== window && window.parent.document.documentElement;
      if (!root) return null;
      if (root.classList.contains("dark") || root.dataset.theme === "dark") return "dark";
      if (root.classList.contains("light") || root.dataset.theme === "light") return "light";
    } catch {
      // Another origin: it does not tell.
    }
    return null;
  };
  const apply = () => {
    const theme = outer() || (system.matches ? "dark" : "light");
    if (document.documentElement.dataset.theme === theme) return;
    document.documentElement.dataset.theme = theme;
    document.dispatchEvent(new CustomEvent("bench-theme", { detail: theme }));
  };
  apply();
  system.addEventListener("change", apply);
  if (outer()) {
    new MutationObserver(apply).observe(window.parent.document.documentElement, {
      attributes: true,
      attributeFilter: ["class", "data-theme"],
    });
  }
  if (window.parent === window) document.documentElement.classList.add("standalone");
})();

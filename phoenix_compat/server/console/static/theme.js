// Applies the chosen theme before the page is drawn. "auto" follows the system.
(() => {
  const system = matchMedia("(prefers-color-scheme: dark)")
  const chosen = () => {
    try { return localStorage.getItem("console.theme") || "auto" } catch { return "auto" }
  }
  const apply = () => {
    const theme = chosen()
    document.documentElement.dataset.theme = theme === "auto" ? (system.matches ? "dark" : "light") : theme
    dispatchEvent(new Event("themechange"))
  }
  system.addEventListener("change", apply)
  window.consoleTheme = {
    get: chosen,
    set(theme) {
      try { localStorage.setItem("console.theme", theme) } catch { /* private window: not remembered */ }
      apply()
    },
  }
  apply()
})()

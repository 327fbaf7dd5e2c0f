// Shows /openapi.json with Swagger UI. Nothing is loaded from elsewhere: no validator, no fonts.
const root = document.getElementById("api")
const dark = matchMedia("(prefers-color-scheme: dark)")
const follow = () => document.documentElement.classList.toggle("dark-mode", dark.matches)
dark.addEventListener("change", follow)
follow()

// What Swagger UI leaves out for people who use a keyboard or a screen reader.
const improve = () => {
  for (const select of root.querySelectorAll("select:not([aria-label])")) {
    const name = select.closest("tr")?.dataset.paramName
    select.setAttribute("aria-label", select.closest(".servers") ? "Server" : name || "Media type")
  }
  for (const box of root.querySelectorAll("pre:not(.version, [tabindex])")) {
    box.tabIndex = 0
  }
}
new MutationObserver(improve).observe(root, {childList: true, subtree: true})

SwaggerUIBundle({
  url: "/openapi.json",
  dom_id: "#api",
  deepLinking: false,  // its links would be inside of buttons
  validatorUrl: null,
  docExpansion: "list",
  defaultModelsExpandDepth: 0,
  displayRequestDuration: true,
})

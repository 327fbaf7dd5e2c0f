// Puts a button beside each piece of code that copies it.
for (const figure of document.querySelectorAll("figure.code")) {
  const button = document.createElement("button")
  button.type = "button"
  button.className = "quiet copy"
  button.textContent = "Copy"
  button.addEventListener("click", async () => {
    await navigator.clipboard?.writeText(figure.querySelector("code").textContent)
    button.textContent = "Copied"
    setTimeout(() => { button.textContent = "Copy" }, 1500)
  })
  if (navigator.clipboard) figure.prepend(button)
}

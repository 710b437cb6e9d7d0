// Opens the operator's form on a page whose address ends in #operator. The token stays in this tab and goes out in a
// header only; the page itself, and who merely watches it, never has one.
"use strict";

{
  const KEEP = "backspace-operator-token";
  const form = document.getElementById("operator");
  const field = document.getElementById("operator-token");
  const button = form.querySelector("button");
  const said = document.getElementById("operator-said");

  const show = () => {
    field.value = sessionStorage.getItem(KEEP) ?? "";
    form.hidden = location.hash !== "#operator" && !field.value;
  };

  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    const token = field.value.trim();
    button.disabled = true;
    said.textContent = "Asking…";
    try {
      const answer = await fetch(`${location.pathname}/cancel`, {
        method: "POST", headers: { Authorization: `Bearer ${token}` }, credentials: "omit", redirect: "error",
      });
      if (answer.ok) sessionStorage.setItem(KEEP, token);
      if (answer.status === 404) sessionStorage.removeItem(KEEP);
      said.textContent = answer.ok ? "Cancelling…"
        : answer.status === 404 ? "This is not the operator's token."
        : (await answer.json()).error;
    } catch {
      said.textContent = "No answer. Try again.";
    }
    button.disabled = false;
  });

  window.addEventListener("hashchange", show);
  show();
}

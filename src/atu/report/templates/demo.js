// Asks the program that serves this page, and shows what both models say.
function answered({ prompt, answers }) {
  const parts = (said) => said.flatMap(([words, isDifferent], index) => [index ? " " : "", isDifferent ? el("ins", { class: "other" }, words) : words]);
  const sides = answers.map((said, index) => el("div", {}, el("dt", {}, D.titles[index]), el("dd", {}, ...parts(said))));
  return el("article", { class: "pair-of-answers" }, el("h3", { class: "prompt" }, prompt), el("dl", {}, ...sides));
}

async function ask(prompt) {
  $("send").disabled = true;
  $("state").textContent = word("demo_waiting");
  try {
    const found = await fetch("ask", { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify({ prompt }) });
    if (!found.ok) throw new Error(String(found.status));
    $("answers").prepend(answered(await found.json()));
    $("state").textContent = "";
    $("prompt").value = "";
  } catch {
    $("state").textContent = word("demo_failed");
  }
  $("send").disabled = false;
  $("prompt").focus();
}

$("question").addEventListener("submit", () => { if ($("prompt").value.trim()) ask($("prompt").value.trim()); });
$("prompt").addEventListener("keydown", (event) => {
  if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
  event.preventDefault();
  if (!$("send").disabled) $("question").requestSubmit();
});
for (const button of document.querySelectorAll("[data-example]")) button.addEventListener("click", () => { if (!$("send").disabled) ask(button.dataset.example); });

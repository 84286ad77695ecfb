"use strict";
(() => {
  const form = document.getElementById("filters");
  if (!form) return;
  const cases = [...document.querySelectorAll("details.case")];
  const shown = document.getElementById("shown");
  const none = document.getElementById("none");
  const openAll = document.getElementById("open-all");

  // Of each case only the turns and verdicts of the two chosen models are shown, before first.
  const arrange = (element, before, after) => {
    const model = element.dataset.model;
    element.hidden = model !== before && model !== after;
    element.style.order = model === before ? 0 : 1;
  };

  const verdictOf = (item, model) => {
    const chips = [...item.querySelectorAll("summary [data-model]")];
    return chips.find((chip) => chip.dataset.model === model)?.dataset.verdict;
  };

  const update = () => {
    const want = Object.fromEntries(new FormData(form));
    let count = 0;
    for (const item of cases) {
      const before = verdictOf(item, want.before);
      const after = verdictOf(item, want.after);
      const fits =
        (!want.attack || item.dataset.attack === want.attack) &&
        (!want.kind || item.dataset.kind === want.kind) &&
        (!want.verdict || after === want.verdict) &&
        (!want.changed || before !== after);
      item.hidden = !fits;
      count += fits;
      item.querySelectorAll("[data-model]").forEach((e) => arrange(e, want.before, want.after));
    }
    shown.textContent = `${count} of ${cases.length} prompts`;
    none.hidden = count > 0;
  };

  openAll.addEventListener("click", () => {
    const open = openAll.getAttribute("aria-expanded") !== "true";
    cases.forEach((item) => { item.open = open; });
    openAll.setAttribute("aria-expanded", String(open));
    openAll.textContent = open ? "Close all" : "Open all";
  });
  form.addEventListener("change", update);
  form.addEventListener("submit", (event) => event.preventDefault());
  form.hidden = false;
  update();
})();

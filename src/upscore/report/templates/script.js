"use strict";
// Tables sort by a click on a head; what has no number goes last either way.
for (const table of document.querySelectorAll("table.sortable")) {
  const heads = [...table.tHead.rows[0].cells];
  heads.forEach((head, column) => {
    const button = head.querySelector("button");
    if (!button) return;
    button.addEventListener("click", () => {
      const numeric = head.dataset.kind !== "text";
      const now = head.getAttribute("aria-sort");
      const descending = now ? now === "ascending" : numeric;
      heads.forEach((other) => other.removeAttribute("aria-sort"));
      head.setAttribute("aria-sort", descending ? "descending" : "ascending");
      const key = (row) => row.cells[column].dataset.value ?? "";
      const rows = [...table.tBodies[0].rows];
      rows.sort((a, b) => {
        const [x, y] = [key(a), key(b)];
        if (x === "" || y === "") return (x === "") - (y === "");
        const order = numeric ? Number(x) - Number(y) : x.localeCompare(y);
        return descending ? -order : order;
      });
      table.tBodies[0].append(...rows);
    });
  });
}
// Where a table goes on beyond its box, the edge is shaded.
for (const box of document.querySelectorAll(".scroll")) {
  const frame = document.createElement("div");
  frame.className = "edges";
  box.replaceWith(frame);
  frame.append(box);
  const shade = () => {
    const right = box.scrollWidth - box.clientWidth - box.scrollLeft > 1;
    const below = box.scrollHeight - box.clientHeight - box.scrollTop > 1;
    frame.classList.toggle("more-right", right);
    frame.classList.toggle("more-below", below);
  };
  box.addEventListener("scroll", shade, { passive: true });
  new ResizeObserver(shade).observe(box);
  shade();
}
// Pictures open larger; Escape closes (the dialog does it), arrows go to the neighbours.
const dialog = document.querySelector("dialog");
const buttons = [...document.querySelectorAll(".zoom")];
let open = -1;
function show(place) {
  open = (place + buttons.length) % buttons.length;
  const shown = buttons[open].querySelector("img, svg");
  const large = dialog.querySelector("img");
  dialog.querySelector("svg")?.remove();
  const drawn = shown.tagName !== "IMG";
  large.hidden = drawn;
  if (drawn) {
    large.after(shown.cloneNode(true));
    const box = shown.viewBox.baseVal;
    dialog.style.setProperty("--ratio", box.width / box.height || 1.5);
  } else {
    large.src = shown.src;
    large.alt = shown.alt;
    dialog.style.setProperty("--ratio", shown.naturalWidth / shown.naturalHeight || 1.5);
  }
  dialog.querySelector("p").textContent = drawn
    ? (buttons[open].closest("figure")?.querySelector("figcaption")?.textContent ?? "")
    : shown.alt;
  if (!dialog.open) dialog.showModal();
}
buttons.forEach((button, place) => button.addEventListener("click", () => show(place)));
dialog.addEventListener("click", () => dialog.close());
dialog.addEventListener("close", () => buttons[open]?.focus());
dialog.addEventListener("keydown", (event) => {
  const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
  if (step) show(open + step);
});
// What is folded away on the screen is printed.
addEventListener("beforeprint", () => document.querySelectorAll("details").forEach((d) => (d.open = true)));

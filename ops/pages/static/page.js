// Replace the page's content by a newer one; scroll position, focus, typed and ticked inputs stay.
// Without this script the page renews itself by a meta element, or not at all.
"use strict";

const changed = (element) =>
  element.type === "checkbox" || element.type === "radio"
    ? element.checked !== element.defaultChecked
    : element.tagName === "TEXTAREA" && element.value !== element.defaultValue;

function isInUse(main) {
  const active = document.activeElement;
  const isTyping = main.contains(active) && /^(INPUT|SELECT|TEXTAREA)$/.test(active.tagName);
  const isSelecting = String(getSelection()) !== "" && main.contains(getSelection().anchorNode);
  return isTyping || isSelecting || [...main.querySelectorAll("input, textarea")].some(changed);
}

// What stands where in the page, to give the focus back to the same link.
function place(main) {
  const active = document.activeElement;
  if (!main.contains(active)) return null;
  const href = active.getAttribute("href");
  return href === null ? null : `a[href="${CSS.escape(href)}"]`;
}

async function renew() {
  const main = document.querySelector("main");
  const seconds = Number(main.dataset.renew || 0);
  if (!seconds) return;
  setTimeout(renew, seconds * 1000);
  if (document.hidden || isInUse(main)) return;
  let text;
  try {
    const answer = await fetch(location.href, { headers: { Accept: "text/html" } });
    if (answer.redirected || !(answer.headers.get("Content-Type") || "").startsWith("text/html")) return;
    text = await answer.text();
  } catch {
    document.body.classList.add("stale");
    return;
  }
  document.body.classList.remove("stale");
  const fresh = new DOMParser().parseFromString(text, "text/html");
  const next = fresh.querySelector("main");
  if (!next || isInUse(main)) return;
  const focus = place(main);
  const scrolled = [...main.querySelectorAll(".scroll")].map((e) => e.scrollLeft);
  main.replaceChildren(...next.childNodes);
  if (next.dataset.renew) main.dataset.renew = next.dataset.renew;
  else delete main.dataset.renew;
  [...main.querySelectorAll(".scroll")].forEach((e, i) => (e.scrollLeft = scrolled[i] || 0));
  document.title = fresh.title;
  for (const id of ["standing"]) {
    const [old, now] = [document.getElementById(id), fresh.getElementById(id)];
    if (old && now && !old.contains(document.activeElement)) old.replaceWith(now);
  }
  if (focus) main.querySelector(focus)?.focus({ preventScroll: true });
}

addEventListener("DOMContentLoaded", () => {
  const main = document.querySelector("main");
  if (main.dataset.renew) setTimeout(renew, main.dataset.renew * 1000);
});

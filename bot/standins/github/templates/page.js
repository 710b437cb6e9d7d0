// The thread changes while somebody watches: fetch it again and swap the parts marked data-live.
"use strict";
const live = document.querySelector("[data-live]");
async function refresh() {
  if (document.hidden) return;
  const said = await fetch(location.href, { headers: { Accept: "text/html" } });
  if (!said.ok) return;
  const fresh = new DOMParser().parseFromString(await said.text(), "text/html").querySelector("[data-live]");
  const now = document.querySelector("[data-live]");
  if (!fresh || fresh.innerHTML === last) return;
  last = fresh.innerHTML;
  const open = [...now.querySelectorAll("details")].map((one) => one.open);
  [...fresh.querySelectorAll("details")].forEach((one, at) => { if (at in open) one.open = open[at]; });
  now.replaceWith(document.importNode(fresh, true));
}
let last = live ? live.innerHTML : "";
if (live) setInterval(() => refresh().catch(() => undefined), 2000);

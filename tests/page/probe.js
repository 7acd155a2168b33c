// SPDX-License-Identifier: GPL-2.0-or-later
// Runs in the browser on the page in a frame, whose width decides which rules apply.
const seen = {};
function luminance(colour) {
  const [r, g, b] = colour.map(v => v / 255).map(v => v <= .03928 ? v / 12.92 : ((v + .055) / 1.055) ** 2.4);
  return .2126 * r + .7152 * g + .0722 * b;
}
const parse = text => { const v = text.match(/[\d.]+/g).map(Number); return {rgb: v.slice(0, 3), alpha: v[3] ?? 1}; };
function behind(element) {
  for (let e = element; e; e = e.parentElement) {
    const c = parse(getComputedStyle(e).backgroundColor);
    if (c.alpha > 0) return c.rgb;
  }
  return [255, 255, 255];
}
function probe(frame) {
  const d = frame.contentDocument, w = frame.contentWindow, out = {};
  out.title = d.title;
  out.overflow = d.documentElement.scrollWidth - d.documentElement.clientWidth;
  out.page = w.getComputedStyle(d.body).backgroundColor;
  out.worst = 99; out.smallest = 99;
  const walker = d.createTreeWalker(d.body, NodeFilter.SHOW_TEXT);
  for (let n; n = walker.nextNode();) {
    if (!n.data.trim()) continue;
    const style = w.getComputedStyle(n.parentElement);
    const [a, b] = [luminance(parse(style.color).rgb), luminance(behind(n.parentElement))].sort((x, y) => y - x);
    out.worst = Math.min(out.worst, (a + .05) / (b + .05));
    out.smallest = Math.min(out.smallest, parseFloat(style.fontSize));
  }
  out.stops = [...d.querySelectorAll('a[href], [tabindex="0"]')].map(e => {
    e.focus({focusVisible: true});
    const style = w.getComputedStyle(e);
    return [d.activeElement === e, style.outlineStyle !== 'none' && parseFloat(style.outlineWidth) >= 2,
            (e.textContent.trim() || e.getAttribute('aria-label') || '') !== ''];
  });
  out.headings = [...d.querySelectorAll('h1, h2, h3')].map(e => Number(e.tagName[1]));
  out.lost = [...d.querySelectorAll('a[href^="#"]')].filter(e => !d.getElementById(e.hash.slice(1))).length;
  out.ids = [...d.querySelectorAll('[id]')].map(e => e.id);
  out.scripts = d.querySelectorAll('script').length;
  out.scrolling = [...d.querySelectorAll('*')].filter(
    e => e.scrollWidth > e.clientWidth + 1 && w.getComputedStyle(e).overflowX === 'auto' && e.tabIndex < 0).length;
  out.table = w.getComputedStyle(d.querySelector('table.cards td')).display;
  return out;
}
window.onload = () => {
  for (const f of document.querySelectorAll('iframe')) seen[f.width] = probe(f);
  document.getElementById('seen').textContent = JSON.stringify(seen);
};

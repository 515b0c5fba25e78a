// What is wrong with the look of a page: a list of sentences, empty when nothing is.
(() => {
  const wrong = [], px = (value) => Math.round(value * 10) / 10;
  document.querySelectorAll('details').forEach((details) => { details.open = true; });
  const visible = (element) => element.checkVisibility({ visibilityProperty: true, contentVisibilityAuto: true });
  const said = (element) => `<${element.tagName.toLowerCase()}> "${element.textContent.trim().slice(0, 40)}"`;

  // Contrast, as WCAG 2 computes it, of every text with what is behind it.
  const channels = (colour) => colour.match(/[\d.]+/g).map(Number);
  const luminance = (colour) => {
    const [r, g, b] = channels(colour).slice(0, 3).map((c) => c / 255)
      .map((c) => (c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4));
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const opaque = (colour) => colour !== 'none' && (channels(colour)[3] ?? 1) > 0;
  const behind = (element) => {
    const drawn = element.closest('.node, a.hop')?.querySelector('rect');
    if (element instanceof SVGElement && drawn) return getComputedStyle(drawn).fill;
    for (let at = element; at; at = at.parentElement) {
      const colour = getComputedStyle(at).backgroundColor;
      if (opaque(colour)) return colour;
    }
    return 'rgb(255, 255, 255)';
  };
  const texts = [];
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) {
    const element = walker.currentNode.parentElement;
    const shown = !['TITLE', 'DESC', 'STYLE'].includes(element.tagName.toUpperCase()) && visible(element);
    if (shown && walker.currentNode.data.trim()) texts.push(element);
  }
  for (const element of texts) {
    const style = getComputedStyle(element);
    const own = element instanceof SVGElement ? style.fill : style.color;
    const [light, dark] = [luminance(own), luminance(behind(element))].sort((a, b) => b - a);
    const contrast = (light + 0.05) / (dark + 0.05);
    if (contrast < 4.5) wrong.push(`${said(element)} has a contrast of ${px(contrast)}`);
  }

  // Nothing leaves its box.
  const page = document.documentElement;
  if (page.scrollWidth > page.clientWidth) wrong.push(`the page is ${page.scrollWidth} wide`);
  for (const element of document.body.querySelectorAll('*')) {
    if (element instanceof SVGElement || !visible(element)) continue;
    if (getComputedStyle(element).display === 'inline') continue;
    if (element.scrollWidth > element.clientWidth + 1) wrong.push(`${said(element)} flows over`);
  }

  // One drawing; every text inside of what it belongs to, nothing over anything else.
  const drawings = [...document.querySelectorAll('svg.path')].filter(visible);
  if (drawings.length !== 1) wrong.push(`${drawings.length} drawings`);
  const box = (element) => element.getBoundingClientRect();
  const inside = (inner, outer) => inner.left >= outer.left - 0.5 && inner.right <= outer.right + 0.5
    && inner.top >= outer.top - 0.5 && inner.bottom <= outer.bottom + 0.5;
  const meet = (one, other) => one.left < other.right && other.left < one.right && one.top < other.bottom && other.top < one.bottom;
  for (const drawing of drawings) {
    const [nodes, badges] = ['.node rect', '.badge'].map((kind) => [...drawing.querySelectorAll(kind)]);
    const names = [...drawing.querySelectorAll('.name')];
    for (const text of drawing.querySelectorAll('text')) {
      if (!inside(box(text), box(drawing))) wrong.push(`${said(text)} leaves the drawing`);
      if (box(text).height < 9) wrong.push(`${said(text)} is ${px(box(text).height)} high`);
      const holder = text.closest('.node, a.hop')?.querySelector('rect');
      if (holder && !inside(box(text), box(holder))) wrong.push(`${said(text)} leaves its box`);
    }
    for (const badge of badges) {
      const others = [...nodes, ...names, ...badges.filter((other) => other !== badge)];
      for (const other of others) if (meet(box(badge), box(other))) wrong.push(`a badge is over ${said(other.parentElement)}`);
    }
    for (const name of names) {
      if (nodes.some((node) => meet(box(name), box(node)))) wrong.push(`${said(name)} is over a node`);
      const framed = [...drawing.querySelectorAll('.frame')].some((frame) => inside(box(name), box(frame)));
      if (!framed) wrong.push(`${said(name)} leaves its frame`);
    }
  }
  if (texts.length < 20) wrong.push(`only ${texts.length} texts`);
  return wrong;
})()

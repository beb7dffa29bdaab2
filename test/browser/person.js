// What a person sees of a page and takes hold of, by the words on it. An
// expression: an object of functions, run in a world of its own in the page.
({
  words: (s) => (s ?? '').replace(/\s+/g, ' ').trim(),

  // shown tells whether an element can be seen once the page is scrolled to it.
  shown(e) {
    return e.checkVisibility({ opacityProperty: true, visibilityProperty: true, contentVisibilityAuto: true }) &&
      [...e.getClientRects()].some((r) => r.width > 1 && r.height > 1 &&
        r.right + scrollX > 0 && r.bottom + scrollY > 0);
  },

  title: () => document.title,
  text: () => document.body?.innerText ?? '',

  // sees tells whether the words stand on the page for everybody to see.
  sees(want) {
    want = this.words(want);
    const has = (e) => this.words(e.innerText).includes(want);
    let found = document.body && has(document.body) ? [document.body] : [];
    while (found.length) {
      const inside = found.flatMap((e) => [...e.children].filter((c) => c.innerText !== undefined && has(c)));
      if (!inside.length) return found.some((e) => this.shown(e));
      found = inside;
    }
    return false;
  },

  visible(want) {
    return this.sees(want) ? {} : { problem: `${JSON.stringify(want)} is not on the page` };
  },

  hidden(want) {
    return this.sees(want) ? { problem: `${JSON.stringify(want)} is on the page` } : {};
  },

  // pick returns the one thing that goes by a name: whose name is the wanted
  // one, or else holds it.
  pick(what, want, things) {
    want = this.words(want);
    things = things.filter((t) => this.shown(t.e));
    for (const fits of [(n) => n === want, (n) => n.includes(want)]) {
      const found = things.filter((t) => t.names.some(fits));
      if (found.length === 1) return { e: found[0].e };
      if (found.length > 1) return { problem: `${found.length} ${what}s go by ${JSON.stringify(want)}` };
    }
    const names = things.map((t) => t.names[0]).filter(Boolean);
    return { problem: `no ${what} goes by ${JSON.stringify(want)}; there are ${names.length ? names.map((n) => JSON.stringify(n)).join(', ') : 'none'}` };
  },

  named: (e) => (e.getAttribute('aria-labelledby') ?? '').split(/\s+/).map((id) => id && document.getElementById(id)?.innerText),

  // labelText is a label's text without that of the control inside it.
  labelText(label) {
    const walk = (n) => n.nodeType === Node.TEXT_NODE ? n.data :
      n.nodeType === Node.ELEMENT_NODE && n.matches('select, textarea, script, style') ? '' : [...n.childNodes].map(walk).join('');
    return walk(label);
  },

  field(want) {
    const things = [...document.querySelectorAll('input, textarea, select')]
      .filter((e) => !['hidden', 'submit', 'button', 'image', 'reset'].includes(e.type))
      .map((e) => ({
        e, names: [...[...e.labels ?? []].map((l) => this.labelText(l)), ...this.named(e), e.getAttribute('aria-label'), e.name]
          .map(this.words).filter(Boolean),
      }));
    return this.pick('field', want, things);
  },

  button(want) {
    return this.pick('button', want, [...document.querySelectorAll('button, input[type=submit], input[type=button], [role=button]')]
      .map((e) => ({ e, names: [e.getAttribute('aria-label'), ...this.named(e), e.innerText || e.value].map(this.words).filter(Boolean) })));
  },

  link(want) {
    return this.pick('link', want, [...document.querySelectorAll('a[href]')]
      .map((e) => ({ e, names: [e.innerText, e.getAttribute('aria-label'), ...this.named(e)].map(this.words).filter(Boolean) })));
  },

  summary(want) {
    return this.pick('fold', want, [...document.querySelectorAll('summary')].map((e) => ({ e, names: [this.words(e.innerText)] })));
  },

  // point is where to click on a thing, or what is in the way.
  point(kind, want) {
    const { e, problem } = this[kind](want);
    if (problem) return { problem };
    if (e.disabled || e.getAttribute('aria-disabled') === 'true') return { problem: `${kind} ${JSON.stringify(want)} is disabled` };
    if (kind === 'button' && e.form && e.type === 'submit' && !e.formNoValidate && !e.form.noValidate) {
      const bad = [...e.form.elements].find((f) => f.willValidate && !f.validity.valid);
      if (bad) return { problem: `the browser sends nothing: field ${JSON.stringify(bad.name)}: ${bad.validationMessage}`, held: true };
    }
    e.scrollIntoView({ block: 'center', inline: 'center', behavior: 'instant' });
    const r = [...e.getClientRects()].find((r) => r.width > 1 && r.height > 1);
    const x = r.left + r.width / 2, y = r.top + r.height / 2;
    const hit = document.elementFromPoint(x, y);
    if (hit !== e && !e.contains(hit)) {
      return { problem: `${kind} ${JSON.stringify(want)} cannot be clicked: ${hit ? `<${hit.localName}> ` + JSON.stringify(this.words(hit.innerText).slice(0, 40)) : 'nothing'} is at its place` };
    }
    return { x, y };
  },

  href(want) {
    const { e, problem } = this.link(want);
    return problem ? { problem } : { value: e.href };
  },

  // take focuses a field and selects what is in it, to be typed over. What has
  // a picker instead of text is set right here.
  take(want, value) {
    const { e, problem } = this.field(want);
    if (problem) return { problem };
    if (e.disabled || e.readOnly) return { problem: `field ${JSON.stringify(want)} takes no text` };
    if (e.localName === 'select' || ['checkbox', 'radio', 'file'].includes(e.type)) return { problem: `field ${JSON.stringify(want)} is no text field` };
    e.scrollIntoView({ block: 'center', behavior: 'instant' });
    e.focus();
    if (['date', 'time', 'datetime-local', 'month', 'week', 'color', 'range'].includes(e.type)) {
      this.set(e, value);
      return { typed: true };
    }
    e.select();
    return {};
  },

  set(e, value) {
    e.value = value;
    e.dispatchEvent(new Event('input', { bubbles: true }));
    e.dispatchEvent(new Event('change', { bubbles: true }));
  },

  value(want) {
    const { e, problem } = this.field(want);
    return problem ? { problem } : { value: e.value };
  },

  // choose takes an option by its text or value.
  choose(want, option) {
    const { e, problem } = this.field(want);
    if (problem) return { problem };
    if (e.localName !== 'select') return { problem: `field ${JSON.stringify(want)} is no list to choose from` };
    const found = [...e.options].filter((o) => !o.disabled && [this.words(o.text), o.value].includes(this.words(option)));
    if (found.length !== 1) {
      return { problem: `${found.length} options of ${JSON.stringify(want)} are ${JSON.stringify(option)}; there are ${[...e.options].slice(0, 20).map((o) => JSON.stringify(this.words(o.text))).join(', ')}` };
    }
    this.set(e, found[0].value);
    return {};
  },

  // attach chooses a file, which comes in base64.
  attach(want, name, content) {
    const { e, problem } = this.field(want);
    if (problem) return { problem };
    if (e.type !== 'file') return { problem: `field ${JSON.stringify(want)} takes no file` };
    if (e.disabled) return { problem: `field ${JSON.stringify(want)} is disabled` };
    const files = new DataTransfer();
    files.items.add(new File([Uint8Array.from(atob(content), (c) => c.charCodeAt(0))], name));
    e.files = files.files;
    e.dispatchEvent(new Event('change', { bubbles: true }));
    return {};
  },

  // focus is the kind of what has the focus, and the name it goes by.
  focus() {
    const e = document.activeElement;
    if (!e || e === document.body) return '';
    const names = [...[...e.labels ?? []].map((l) => this.labelText(l)), e.getAttribute('aria-label'), ...this.named(e), e.innerText, e.name];
    const kind = { a: 'link', button: 'button', summary: 'fold', input: 'field', textarea: 'field', select: 'field' }[e.localName] ?? e.localName;
    return `${kind} ${names.map(this.words).find(Boolean) ?? ''}`;
  },

  // across tells whether the page is laid out for a screen of this width.
  across(width) {
    const is = document.documentElement.clientWidth;
    return String(is) === width ? {} : { problem: `the page is ${is} pixels wide, not ${width}` };
  },

  // overflow names what reaches beyond the right edge of the screen.
  overflow() {
    const width = document.documentElement.clientWidth;
    if (document.documentElement.scrollWidth <= width) return [];
    return [...document.body.querySelectorAll('*')].filter((e) => this.shown(e) && e.getBoundingClientRect().right + scrollX > width + 1)
      .map((e) => `<${e.localName}> ${JSON.stringify(this.words(e.innerText).slice(0, 60))} ends at ${Math.round(e.getBoundingClientRect().right + scrollX)} of ${width}`);
  },
})

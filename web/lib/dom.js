// Makes elements. Text is always text: nothing on this page ever parses HTML, since the names,
// paths and metadata of events are whatever strangers sent.
const dom = (() => {
  const SVG = "http://www.w3.org/2000/svg";

  // An attribute that is null or false is left out; a function is a listener ("onclick");
  // style is an object, set by the CSSOM, because the page's policy allows no style attribute
  function setAttributes(node, attributes) {
    for (const [name, value] of Object.entries(attributes ?? {})) {
      if (value === null || value === undefined || value === false) node.removeAttribute(name);
      else if (typeof value === "function") node.addEventListener(name.slice(2), value);
      else if (name === "style") for (const [key, text] of Object.entries(value)) node.style.setProperty(key, text);
      else node.setAttribute(name, value === true ? "" : value);
    }
    return node;
  }

  // Children may be nodes, text, numbers, lists of these, or nothing (null, undefined, false)
  function flatten(children) {
    return children.flat(Infinity).filter(child => child !== null && child !== undefined && child !== false);
  }

  function el(name, attributes, ...children) {
    const node = setAttributes(document.createElement(name), attributes);
    node.append(...flatten(children));
    return node;
  }

  function svg(name, attributes, ...children) {
    const node = setAttributes(document.createElementNS(SVG, name), attributes);
    node.append(...flatten(children));
    return node;
  }

  // Text that came from events: isolated, so that right-to-left text turns nothing around it,
  // cut by the style sheet, and whole in its title
  function data(text, attributes) {
    return el("bdi", { class: "data", title: text, ...attributes }, text);
  }

  // An icon of the sprite in index.html
  function icon(name) {
    return svg("svg", { class: "icon", "aria-hidden": "true" }, svg("use", { href: `#icon-${name}` }));
  }

  // A button with an icon alone
  function iconButton(name, label, onclick, attributes) {
    return el("button", { type: "button", class: "icon-button", "aria-label": label, title: label, onclick, ...attributes }, icon(name));
  }

  function replace(node, ...children) {
    node.replaceChildren(...flatten(children));
    return node;
  }

  // Do something that may make elements anew; one that has the same data-key then gets the focus of the old
  function keepFocus(root, change) {
    const focused = document.activeElement?.dataset.key;
    change();
    if (focused && !document.activeElement?.dataset.key) {
      [...root.querySelectorAll("[data-key]")].find(node => node.dataset.key === focused)?.focus({ preventScroll: true });
    }
  }

  const byId = id => document.getElementById(id);

  // Say something to those who listen to the page
  function announce(text) {
    const region = byId("announcer");
    if (region.textContent !== text) region.textContent = text;
  }

  let lastId = 0;
  const newId = prefix => `${prefix}-${++lastId}`;

  return { el, svg, data, icon, iconButton, replace, keepFocus, byId, announce, newId, setAttributes };
})();

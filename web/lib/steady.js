// Shows a list that changes every few seconds, so that one can read it meanwhile: an item that stays
// keeps its element, one that changes its place glides there, and while somebody points at the list
// or has the focus in it, the items keep their places and only their numbers change.
const steady = (() => {
  const GLIDE = { duration: 450, easing: "cubic-bezier(.2, 0, 0, 1)" };
  const calm = matchMedia("(prefers-reduced-motion: reduce)");

  const isHeld = list => list.matches(":hover, :focus-within");

  // Those that are there in their present order, then the others
  function inPresentOrder(items, keyOf, present) {
    const wanted = new Map(items.map(item => [keyOf(item), item]));
    const kept = [...present.keys()].filter(key => wanted.has(key)).map(key => wanted.get(key));
    return [...kept, ...items.filter(item => !present.has(keyOf(item)))];
  }

  function glide(element, from, isNew) {
    const distance = from - element.offsetTop;
    if (isNew) element.animate([{ opacity: 0 }, { opacity: 1 }], GLIDE);
    else if (distance) element.animate([{ transform: `translateY(${distance}px)` }, { transform: "none" }], GLIDE);
  }

  // present: the elements of the list by key, as the last call returned them. make(item) makes an
  // element, change(element, item) shows the item in it.
  function show(list, present, items, { keyOf, make, change }) {
    const ordered = isHeld(list) ? inPresentOrder(items, keyOf, present) : items;
    const places = new Map([...present.values()].map(element => [element, element.offsetTop]));
    const focused = document.activeElement;
    const elements = new Map();
    for (const item of ordered) {
      const element = present.get(keyOf(item)) ?? make(item);
      change(element, item);
      elements.set(keyOf(item), element);
    }
    for (const [key, element] of present) if (!elements.has(key)) element.remove();
    let place = list.firstElementChild;
    for (const element of elements.values()) {
      if (element === place) place = place.nextElementSibling;
      else list.insertBefore(element, place);
    }
    // An element that is moved loses the focus
    if (focused !== document.activeElement && list.contains(focused)) focused.focus({ preventScroll: true });
    if (!calm.matches && present.size > 0) for (const element of elements.values()) glide(element, places.get(element), !places.has(element));
    return elements;
  }

  return { show };
})();

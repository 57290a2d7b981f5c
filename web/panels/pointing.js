// Pointer and keys over the plot
const pointing = (() => {
  const DRAG = 12;

  // self: what plot.js keeps of a plot. point(index) shows a bucket, enter(index) goes into it,
  // select(first, last) into several.
  function listen(area, self, { point, enter, select }) {
    let begin = null;

    const indexAt = event => self.layout.nearest(event.clientX - area.getBoundingClientRect().left);
    const ready = () => self.layout && self.layout.known > 0;

    area.addEventListener("pointerdown", event => {
      if (!ready() || event.button !== 0) return;
      // A finger points first, and goes into what it pointed at before
      begin = { x: event.clientX - area.getBoundingClientRect().left, index: indexAt(event), before: self.index };
      if (event.pointerType === "mouse") area.setPointerCapture(event.pointerId);
      point(begin.index);
    });

    area.addEventListener("pointermove", event => {
      if (!ready()) return;
      point(indexAt(event));
      const x = event.clientX - area.getBoundingClientRect().left;
      if (begin && event.pointerType === "mouse" && Math.abs(x - begin.x) > DRAG) drawing.select(self.canvas, self.layout, begin.x, x);
    });

    area.addEventListener("pointerup", event => {
      if (!ready() || !begin) return;
      const { x, index, before } = begin;
      begin = null;
      const now = indexAt(event);
      const isDrag = Math.abs(event.clientX - area.getBoundingClientRect().left - x) > DRAG;
      if (event.pointerType !== "mouse") {
        if (!isDrag && now === before) enter(now);
      } else if (isDrag && now !== index) select(Math.min(index, now), Math.max(index, now));
      else if (!isDrag) enter(now);
    });

    area.addEventListener("pointercancel", () => { begin = null; });
    area.addEventListener("pointerleave", () => { if (!begin) point(-1); });
    area.addEventListener("blur", () => point(-1));

    area.addEventListener("keydown", event => {
      if (!ready() || event.ctrlKey || event.metaKey || event.altKey) return;
      const last = self.layout.known - 1;
      const at = self.index < 0 ? (event.key === "ArrowLeft" ? last + 1 : -1) : self.index;
      const to = { ArrowRight: at + 1, ArrowUp: at + 1, ArrowLeft: at - 1, ArrowDown: at - 1, PageUp: at - 7, PageDown: at + 7, Home: 0, End: last }[event.key];
      if (to !== undefined) point(Math.max(0, Math.min(last, to)));
      else if (event.key === "Enter" && self.index >= 0) enter(self.index);
      else if (event.key === "Escape" && self.index >= 0) point(-1);
      else return;
      event.preventDefault();
      event.stopPropagation();
    });
  }

  return { listen };
})();

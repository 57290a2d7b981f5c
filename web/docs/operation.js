// One operation: what it is for, a form to try it, and its answers
const docsOperation = (() => {
  const { resolve, exampleOf, asText, typeOf, hintOf } = description;

  function table(caption, titles, rows, look = "") {
    return dom.el("table", { class: `table docs-table ${look}`.trim() },
      dom.el("caption", { class: "hidden" }, caption),
      dom.el("thead", {}, dom.el("tr", {}, titles.map(title => dom.el("th", { scope: "col" }, title)))),
      dom.el("tbody", {}, rows.map(([head, ...cells]) => dom.el("tr", {}, dom.el("th", { scope: "row" }, head), cells.map(cell => dom.el("td", {}, cell))))));
  }

  function parameterTable(parameters, inputs) {
    return table("Parameters", ["Parameter", "What it is", "Value"], parameters.map(parameter => {
      const input = dom.el("input", {
        type: "text", value: parameter.required ? parameter.example ?? "" : "", placeholder: hintOf(parameter), spellcheck: "false", autocomplete: "off", "aria-label": parameter.name,
      });
      inputs.push([parameter, input]);
      return [
        [dom.el("code", {}, parameter.name), dom.el("small", { class: "dim" }, parameter.required ? "required" : parameter.in)],
        [parameter.description ?? "", dom.el("small", { class: "dim" }, typeOf(parameter.schema))],
        input,
      ];
    }), "parameters");
  }

  function fieldTable(schema) {
    const { properties, required = [] } = resolve(schema);
    return properties && table("Members of the body", ["Member", "Needed", "What it is"], Object.entries(properties).map(([name, property]) => [
      dom.el("code", {}, name), required.includes(name) ? "required" : "optional", resolve(property).description ?? typeOf(property),
    ]));
  }

  function answerTable(responses) {
    return table("Answers", ["Status", "When"], Object.entries(responses).map(([code, response]) => {
      const { description: text, content = {} } = resolve(response);
      const example = Object.values(content).map(exampleOf).find(one => one !== undefined);
      return [dom.el("code", { class: code < 300 ? "good" : "bad" }, code), [text, example !== undefined && dom.el("pre", { class: "code", tabindex: "0" }, code < 300 ? asText(example) : JSON.stringify(example))]];
    }));
  }

  // The fields of a body, with an example to change
  function bodyFields(form, content) {
    const names = Object.keys(content);
    form.type = dom.el("select", { "aria-label": "Content-Type" }, names.map(name => dom.el("option", {}, name)));
    form.body = dom.el("textarea", { spellcheck: "false", rows: 8, "aria-label": "Body" });
    const showExample = () => {
      form.body.value = asText(exampleOf(content[form.type.value]) ?? "");
      form.body.rows = Math.min(Math.max(form.body.value.split("\n").length, 4), 18);
    };
    form.type.addEventListener("change", showExample);
    showExample();
    return [form.type, form.body];
  }

  // What was answered, below a line that does the same in a shell
  function trial(form) {
    const command = dom.el("pre", { class: "code", tabindex: "0", "aria-label": "The same for a shell" });
    const outcome = dom.el("p", { role: "status" });
    const text = dom.el("pre", { class: "code", tabindex: "0", hidden: true, "aria-label": "Answer" });
    const button = dom.el("button", { type: "submit", class: "button primary" }, "Send");
    const update = () => { command.textContent = docsRequest.shellLine(form); };

    async function submit(event) {
      event.preventDefault();
      button.disabled = true;
      outcome.textContent = "Sent, and waiting.";
      const answer = await docsRequest.send(form);
      dom.replace(outcome, dom.el("strong", { class: answer.isGood ? "good" : "bad" }, answer.status), dom.el("span", { class: "dim" }, ` in ${answer.milliseconds} ms`));
      text.textContent = answer.text;
      text.hidden = answer.text === "";
      button.disabled = false;
    }

    return { button, update, submit, elements: [dom.el("div", { class: "docs-send" }, button, outcome), text, command] };
  }

  function show({ path, method, operation }) {
    const form = { path, method, inputs: [] };
    const parameters = (operation.parameters ?? []).map(resolve);
    const content = operation.requestBody?.content;
    const fields = [parameters.length > 0 && parameterTable(parameters, form.inputs), content && bodyFields(form, content)];
    const { update, submit, elements } = trial(form);
    const box = dom.el("details", { id: operation.operationId, class: "card operation" },
      dom.el("summary", {}, dom.el("span", { class: `method ${method}` }, method.toUpperCase()), dom.el("code", {}, path), dom.el("span", { class: "operation-summary" }, operation.summary)),
      dom.el("div", { class: "operation-body" },
        operation.description && dom.el("p", {}, operation.description),
        dom.el("form", { class: "form", onsubmit: submit, oninput: update, onchange: update }, fields, elements),
        content && fieldTable(Object.values(content)[0].schema),
        dom.el("h3", {}, "Answers"), answerTable(operation.responses)));
    box.addEventListener("toggle", update);
    return box;
  }

  return { show };
})();
